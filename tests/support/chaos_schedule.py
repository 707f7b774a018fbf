"""The schedule of a chaos run: jobs, kills and evictions, each with its time. Pure; the seed decides everything."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random

SECONDS_PER_JOB = 4.0
"""About what one job takes on an idle machine; a run is this long for each of its jobs."""
SUBMITTED_WITHIN = 0.5
"""Fraction of the run in which all jobs are submitted."""


class Work(StrEnum):
    """Kinds of jobs."""

    PICTURE = "a picture"
    TRAINING = "a training"
    CLIP = "a clip"
    NO_DATASET = "a training with missing photos"
    NO_MODEL = "a picture with a missing model"


RUNNING_PODS = "running pods"
"""Target of an eviction: all pods that run at that moment, as when their node is drained."""
JOBS_PER_EVICTION = 3
MIX = (Work.PICTURE, Work.TRAINING, Work.PICTURE, Work.NO_DATASET, Work.PICTURE, Work.NO_MODEL, Work.PICTURE, Work.CLIP)


class Victim(StrEnum):
    """Processes that are killed."""

    OPERATOR = "operator"
    OTHER_OPERATOR = "operator-2"
    NODE = "node"
    RUNNER = "runner"
    GATEWAY = "gateway"
    REDIS = "redis"
    S3 = "s3"
    API_SERVER = "apiserver"


class Action(StrEnum):
    SUBMIT = "submit"
    SUSPEND = "suspend"
    RESUME = "resume"
    DELETE = "delete"
    KILL = "kill"
    EVICT = "evict"


@dataclass(frozen=True)
class Event:
    """One disturbance of the cluster, or the submission of a job."""

    at_seconds: float
    action: Action
    target: str
    """A job's name, a victim, or RUNNING_PODS."""

    def __str__(self) -> str:
        return f"{self.at_seconds:7.2f} s  {self.action} {self.target}"


@dataclass(frozen=True)
class Schedule:
    """All events of a run, by time."""

    seed: int
    jobs: dict[str, Work]
    events: tuple[Event, ...]

    @property
    def deleted(self) -> frozenset[str]:
        return frozenset(event.target for event in self.events if event.action is Action.DELETE)

    def __str__(self) -> str:
        jobs = [f"  {name}: {work}" for name, work in self.jobs.items()]
        return "\n".join([f"seed {self.seed}, {len(jobs)} jobs", *jobs, *(f"  {event}" for event in self.events)])


def draw_schedule(seed: int, job_count: int) -> Schedule:
    """One kill for each job, spread evenly over the victims; an eviction for every third job; every eighth job is
    suspended and resumed, and another deleted."""
    random = Random(seed)
    length = SECONDS_PER_JOB * job_count
    works = [MIX[number % len(MIX)] for number in range(job_count)]
    random.shuffle(works)
    jobs = {f"chaos-{number}": work for number, work in enumerate(works)}
    submitted = {name: random.uniform(0, SUBMITTED_WITHIN * length) for name in jobs}
    events = [Event(at, Action.SUBMIT, name) for name, at in submitted.items()]
    events += _kills(random, max(job_count, len(Victim)), length)
    events += _interventions(random, submitted, length)
    evictions = max(1, job_count // JOBS_PER_EVICTION)
    events += [Event(random.uniform(0, length), Action.EVICT, RUNNING_PODS) for _ in range(evictions)]
    return Schedule(seed, jobs, tuple(sorted(events, key=lambda event: event.at_seconds)))


def _kills(random: Random, count: int, length: float) -> list[Event]:
    victims = [list(Victim)[number % len(Victim)] for number in range(count)]
    return [Event(random.uniform(0, length), Action.KILL, victim) for victim in victims]


def _interventions(random: Random, submitted: dict[str, float], length: float) -> list[Event]:
    """Suspensions with their resumptions, and deletions, each after the submission of its job."""
    share = max(1, len(submitted) // 8)
    chosen = random.sample(sorted(submitted), 2 * share)
    events = []
    for name in chosen[:share]:
        suspended, resumed = sorted(random.uniform(submitted[name], length) for _ in range(2))
        events += [Event(suspended, Action.SUSPEND, name), Event(resumed, Action.RESUME, name)]
    return events + [Event(random.uniform(submitted[name], length), Action.DELETE, name) for name in chosen[share:]]
