"""The operator's memory of jobs, pods and slots: what the watches show and what our own requests answered, whichever is
newer.

Filled by `resync.py`, which lists everything before anybody acts, by `handlers.py` with what the watches show, and by
`requests.py` with answers: a decision that is made before the watch has shown the last one would be made twice.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from darkroom_contract.jobs import Job, read_job
from darkroom_contract.names import Kind
from darkroom_contract.progress import ProgressEvent
from darkroom_operator.cache.object_store import JobStore, ObjectStore, PodStore, Tombstones
from darkroom_operator.kube.objects import LEASES, PODS, Json, aware
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.pods.runner_pod import RunnerPod, read_pod
from darkroom_operator.scheduling.admission import may_run
from darkroom_operator.scheduling.queue import is_finished
from darkroom_operator.scheduling.runtime_history import DurationEstimator
from darkroom_operator.scheduling.slot import SLOTS, Slot, read_slot
from darkroom_operator.scheduling.snapshot import Snapshot, UnreadableJob

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")

_KINDS = {kind.plural: kind for kind in Kind}


class Cache:
    """All that is known."""

    def __init__(self, refusal: Callable[[Job], Failure | None] = lambda job: None) -> None:
        """`refusal` tells why no run of a job can succeed, or None; see `preflight.py`."""
        self._tombstones = Tombstones()
        self._refusal = refusal
        self._judged: set[str] = set()
        """Uids of the jobs that it was asked about, each once: what decides is fixed at a job's creation."""
        self._refused: dict[str, Failure] = {}
        self.jobs = JobStore(self._tombstones)
        self.broken: ObjectStore[UnreadableJob] = ObjectStore(lambda job: int(job.version), self._tombstones)
        self.pods = PodStore(self._tombstones)
        self.leases: ObjectStore[Slot] = ObjectStore(lambda slot: int(slot.version or 0), self._tombstones)
        self.progress: dict[str, ProgressEvent] = {}
        self.durations = DurationEstimator()

    @property
    def changes(self) -> int:
        """Counts up with each."""
        return sum(store.changes for store in self._stores)

    @property
    def _stores(self) -> tuple[ObjectStore[Job], ObjectStore[UnreadableJob], ObjectStore[RunnerPod], ObjectStore[Slot]]:
        return self.jobs, self.broken, self.pods, self.leases

    def see(self, plural: str, document: Json) -> bool:
        """What a watch or a list shows. Whether it was news: not so when an answer or the other one was faster."""
        uid, version = document["metadata"]["uid"], int(document["metadata"]["resourceVersion"])
        if any(store.has(uid, version) for store in self._stores):
            return False
        if plural == PODS:
            self.put_pod(document)
        elif plural == LEASES:
            if not SLOTS.items() <= (document["metadata"].get("labels") or {}).items():
                return False
            self.put_slot(document)
        else:
            self.put_job(_KINDS[plural], document)
        return True

    def lose(self, plural: str, document: Json) -> None:
        """A watch says that it is gone. A pod or a Lease may only have lost its labels: it is looked for when it is
        missed. The last state of a pod tells how its run ended: a watch may show nothing between that and its end."""
        uid = document["metadata"]["uid"]
        if plural == PODS:
            self.put_pod(document)
            self.pods.forget(uid)
        elif plural == LEASES:
            self.leases.forget(uid)
        else:
            self.drop_job(uid)

    def put_job(self, kind: Kind, document: Json) -> Job | UnreadableJob:
        try:
            job = _kept(read_job({**document, "kind": kind.value}))
        except ValidationError as error:
            broken = _broken(kind, document, error)
            self._move(broken.uid, broken, self.broken, self.jobs)
            return broken
        self._move(job.uid, job, self.jobs, self.broken)
        self.durations.learn(job)
        self._judge(job)
        return job

    def _judge(self, job: Job) -> None:
        if is_finished(job):
            self._refused.pop(job.uid, None)
        elif job.uid not in self._judged and may_run(job):
            self._judged.add(job.uid)
            if (failure := self._refusal(job)) is not None:
                self._refused[job.uid] = failure

    @staticmethod
    def _move(uid: str, item: T, store: ObjectStore[T], other: ObjectStore[S]) -> None:
        """A job is on one of two stores; an older state does not take it from the other."""
        if not other.has_newer(uid, store.version(item)) and store.put(uid, item):
            other.forget(uid)

    def put_pod(self, document: Json) -> RunnerPod | None:
        """None for a pod whose labels are not those of a run: somebody else's, or meddled with. What is known of it
        stays."""
        try:
            pod = read_pod(document)
        except (KeyError, ValueError) as error:
            log.warning("the pod %s is labelled as a run's but can't be read: %r", document["metadata"]["name"], error)
            return None
        self.pods.put(pod.uid, pod)
        return pod

    def put_slot(self, document: Json) -> Slot | None:
        """None for a Lease that is labelled as a slot but named otherwise."""
        try:
            slot = read_slot(document)
        except ValueError as error:
            log.warning("%s", error)
            return None
        self.leases.put(document["metadata"]["uid"], slot)
        return slot

    def drop_job(self, uid: str) -> None:
        self.jobs.drop(uid)
        self.broken.drop(uid)
        self.progress.pop(uid, None)
        self._refused.pop(uid, None)
        self._judged.discard(uid)
        self.durations.forget(uid)

    def keep_only_jobs(self, kind: Kind, uids: set[str], version: int) -> None:
        self.jobs.keep_only(uids, version, lambda job: job.kind is kind)
        self.broken.keep_only(uids, version, lambda job: job.kind is kind)
        for uid in self._judged - self.jobs.view.keys() - self.broken.view.keys():
            self._judged.discard(uid)
            self._refused.pop(uid, None)

    def slots(self, count: int) -> dict[int, Slot]:
        """Slots below `count`, whether their Leases exist or not, and all others that have one."""
        known = self._known_slots()
        return {number: known.get(number) or Slot(number) for number in sorted({*range(count), *known})}

    def slot(self, number: int) -> Slot:
        return self._known_slots().get(number) or Slot(number)

    def _known_slots(self) -> dict[int, Slot]:
        oldest_first = sorted(self.leases.view.values(), key=lambda slot: int(slot.version or 0))
        return {slot.number: slot for slot in oldest_first}

    def snapshot(self, now: datetime, slot_count: int) -> Snapshot:
        """A view, not a copy: to be used before anything else is awaited."""
        return Snapshot(
            now=now,
            slot_count=slot_count,
            slots=self.slots(slot_count),
            jobs=self.jobs.view,
            line=self.jobs.line,
            broken=self.broken.view,
            refused=self._refused,
            pods=self.pods.view,
            deleted=self._tombstones,
            last_seen=self.pods.last_seen.view,
            progress=self.progress,
            durations=self.durations,
        )


def _kept(job: Job) -> Job:
    """As it is remembered: its times with a time zone, since they are compared with the present and somebody may have
    edited the status; and with one copy of whatever part of their specs many jobs have in common."""
    due, ended = job.status.next_attempt_time, job.status.completion_time
    times = {"next_attempt_time": due and aware(due), "completion_time": ended and aware(ended)}
    parts = {name: _first_equal(part) for name, part in job.spec if isinstance(part, BaseModel)}
    return replace(job, spec=job.spec.model_copy(update=parts), status=job.status.model_copy(update=times))


@lru_cache(maxsize=1000)
def _first_equal(part: BaseModel) -> BaseModel:
    """The first of equal parts. None of them can be changed."""
    return part


def _broken(kind: Kind, document: Json, error: ValidationError) -> UnreadableJob:
    metadata = document["metadata"]
    faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return UnreadableJob(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        failed=(document.get("status") or {}).get("phase") in ("Succeeded", "Failed"),
        fault=faults,
    )


def uids(documents: Iterable[Json]) -> set[str]:
    return {document["metadata"]["uid"] for document in documents}
