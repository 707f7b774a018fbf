"""The queue policy: one object orders the queue, the positions and the estimated start times."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from support.operator_snapshots import NOW, a_job, a_snapshot, a_training, in_phase, success
from support.simulated_api import SimulatedApi
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import GENERATE, SimulatedUser

from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase
from darkroom_operator.scheduling.admission import admit, queued_jobs, queued_with_trainings
from darkroom_operator.scheduling.policy import POLICIES, Key, PriorityThenAge
from darkroom_operator.scheduling.queue import PendingQueue
from darkroom_operator.scheduling.queue_position import queue_positions
from darkroom_operator.scheduling.runtime_history import DurationEstimator
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.settings import QueuePolicyName, Settings
from darkroom_operator.status import transitions

OLD, NEW = replace(a_job("old"), created=NOW - timedelta(hours=2)), replace(a_job("new"), created=NOW)
SHORT, LONG = a_job("short", images={"count": 1}), a_job("long", images={"count": 4})


class NewestFirst:
    """Sorts by age only, the newest job first."""

    refresh_seconds = None

    def key(self, job: Job, now: datetime) -> Key:
        return (-job.created.timestamp(),)


class OverdueFirst:
    """Jobs that have waited for an hour come first, in no particular order: a policy that depends on time."""

    refresh_seconds = 60.0

    def key(self, job: Job, now: datetime) -> Key:
        return (now - job.created < timedelta(hours=1),)


def under(policy: NewestFirst | OverdueFirst, jobs: Sequence[Job]) -> Snapshot:
    return replace(a_snapshot(*jobs), pending=PendingQueue(jobs, policy))


def finished(job: Job, seconds: float) -> Job:
    times = {"start_time": NOW - timedelta(seconds=seconds), "completion_time": NOW, "attempts": 1}
    status = transitions.succeeded(job, success(job), NOW).model_copy(update=times)
    return replace(job, uid=f"finished-{job.uid}", status=status)


def test_the_default_policy_is_priority_then_age() -> None:
    assert isinstance(POLICIES[Settings(runner_image="x").queue_policy](), PriorityThenAge)


def test_every_name_of_a_policy_has_one() -> None:
    assert POLICIES.keys() == set(QueuePolicyName)


def test_queue_positions_and_estimates_follow_a_second_policy() -> None:
    jobs = [replace(OLD, spec=LONG.spec), replace(NEW, spec=SHORT.spec)]
    durations = DurationEstimator()
    durations.observe(finished(SHORT, seconds=10))
    durations.observe(finished(LONG, seconds=40))
    by_age = replace(a_snapshot(*jobs), durations=durations)
    newest_first = replace(under(NewestFirst(), jobs), durations=durations)

    def starts(snapshot: Snapshot) -> list[tuple[str, int, float]]:
        found = queue_positions(queued_with_trainings(snapshot), snapshot)
        return [(p.job.name, p.index, (p.estimated_start - NOW).total_seconds()) for p in found if p.estimated_start]

    assert starts(by_age) == [("old", 0, 0), ("new", 1, 40)]
    assert starts(newest_first) == [("new", 0, 0), ("old", 1, 10)]
    assert (admit(by_age), admit(newest_first)) == (jobs[0], jobs[1])


def test_a_generation_still_waits_for_the_training_of_its_model() -> None:
    training = replace(a_training("training"), created=NOW - timedelta(hours=3))
    generation = replace(a_job("generation", model_id="m"), created=NOW - timedelta(minutes=1))
    snapshot = under(NewestFirst(), [training, generation, OLD])
    assert queued_jobs(snapshot) == [OLD, training, generation]
    assert admit(snapshot) == OLD


def test_jobs_with_equal_keys_can_each_be_replaced_and_removed() -> None:
    jobs = [replace(a_job(name), created=NOW) for name in "cab"]
    queue = PendingQueue(jobs, OverdueFirst())
    assert [job.name for job in queue] == ["a", "b", "c"]
    suspended = replace(jobs[1], spec=jobs[1].spec.model_copy(update={"suspend": True}))
    queue.put(suspended)
    queue.remove("uid-b")
    queue.remove("uid-b")
    assert list(queue) == [suspended, jobs[0]]
    queue.put(in_phase(jobs[0], Phase.SUCCEEDED))
    assert list(queue) == [suspended]


def test_a_job_is_removed_even_if_its_key_has_changed_since() -> None:
    queue = PendingQueue([OLD, NEW])
    queue.put(replace(OLD, spec=OLD.spec.model_copy(update={"priority": -9}), created=NOW + timedelta(days=1)))
    assert [job.name for job in queue] == ["new", "old"]
    queue.remove(OLD.uid)
    assert list(queue) == [NEW]


def test_a_policy_that_depends_on_time_is_applied_again_when_its_keys_are_too_old() -> None:
    first, second = replace(a_job("a"), created=NOW), replace(a_job("b"), created=NOW - timedelta(minutes=59))
    queue = PendingQueue([first, second], OverdueFirst())
    queue.refresh(NOW)
    assert list(queue) == [first, second]
    queue.refresh(NOW + timedelta(seconds=59))
    assert list(queue) == [first, second]
    queue.refresh(NOW + timedelta(seconds=60))
    assert list(queue) == [second, first]
    assert queue.precedes(second, first)


def test_an_operator_with_a_second_policy_runs_the_jobs_in_its_order() -> None:
    api = SimulatedApi()
    user, node = SimulatedUser(api), SimulatedNode(api)
    for name in ("first", "second", "third"):
        user.create(name)
        api.pass_time(1)
    operator = SimulatedOperator(api, policy=NewestFirst())
    started = []
    for _ in range(3):
        operator.rest()
        [pod] = node.live()
        started.append(pod.partition("-")[0])
        waiting = [job for job in api.all(GENERATE) if job["status"]["phase"] == "Queued"]
        assert [job["status"]["queue"]["position"] for job in waiting] == list(reversed(range(len(waiting))))
        node.succeed(pod)
    assert started == ["third", "second", "first"]
