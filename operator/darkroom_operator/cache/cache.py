"""The operator's in-memory state of jobs, pods and slots: the newest of what watches, lists and our requests return.

`resync.py` fills it before the first reconcile, `handlers.py` adds what the watches deliver, and
`reconcile/executor.py` adds the responses to its requests: otherwise a decision could be made twice before a watch
delivers the first one.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from darkroom_contract.handover import SignedOutcome
from darkroom_contract.jobs import Job, read_job
from darkroom_contract.names import Kind
from darkroom_contract.progress import ProgressEvent
from darkroom_operator.cache.object_store import JobStore, ObjectStore, PodStore, Tombstones
from darkroom_operator.kube.objects import LEASES, PODS, Json, aware
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.pods.runner_pod import RunnerPod, read_pod
from darkroom_operator.scheduling.job_state import is_finished, may_run
from darkroom_operator.scheduling.policy import PriorityThenAge, QueuePolicy
from darkroom_operator.scheduling.runtime_history import DurationEstimator
from darkroom_operator.scheduling.slot import SLOTS, Slot, read_slot
from darkroom_operator.scheduling.snapshot import Snapshot, UnreadableJob

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")

_KINDS = {kind.plural: kind for kind in Kind}


class Cache:
    """One store for each kind of object, and what is derived from them."""

    def __init__(
        self, preflight: Callable[[Job], Failure | None] = lambda job: None, policy: QueuePolicy | None = None
    ) -> None:
        """`preflight` says why no run of a job can succeed, or None; see `scheduling/preflight.py`."""
        self._tombstones = Tombstones()
        self._preflight = preflight
        self._checked: set[str] = set()
        """Uids of the jobs that had their preflight check. Once is enough: what it looks at is immutable."""
        self._rejected: dict[str, Failure] = {}
        self.jobs = JobStore(self._tombstones, policy or PriorityThenAge())
        self.unreadable: ObjectStore[UnreadableJob] = ObjectStore(lambda job: int(job.version), self._tombstones)
        self.pods = PodStore(self._tombstones)
        self.leases: ObjectStore[Slot] = ObjectStore(lambda slot: int(slot.version or 0), self._tombstones)
        self.progress: dict[str, ProgressEvent] = {}
        self.outcomes: dict[str, SignedOutcome] = {}
        """By the pod's uid; written by `outcome_reader.py`."""
        self.durations = DurationEstimator()

    @property
    def changes(self) -> int:
        """Counts every change of an object."""
        return sum(store.changes for store in self._stores)

    @property
    def _stores(self) -> tuple[ObjectStore[Job], ObjectStore[UnreadableJob], ObjectStore[RunnerPod], ObjectStore[Slot]]:
        return self.jobs, self.unreadable, self.pods, self.leases

    def see(self, plural: str, document: Json) -> bool:
        """Add an object that a watch or a list has returned. False if this or a newer version is known already."""
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

    def delete(self, plural: str, document: Json) -> None:
        """A watch has delivered a deletion, with the last state of the object.

        A pod or Lease gets no tombstone: it may only have lost its labels, and is looked up when it is missed. The last
        state of a pod is kept, since it may be the only one that shows how its run ended.
        """
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
            job = _normalized(read_job({**document, "kind": kind.value}))
        except ValidationError as error:
            unreadable = _unreadable(kind, document, error)
            self._move(unreadable.uid, unreadable, self.unreadable, self.jobs)
            return unreadable
        self._move(job.uid, job, self.jobs, self.unreadable)
        self.durations.observe(job)
        self._check(job)
        return job

    def _check(self, job: Job) -> None:
        if is_finished(job):
            self._rejected.pop(job.uid, None)
        elif job.uid not in self._checked and may_run(job):
            self._checked.add(job.uid)
            if (failure := self._preflight(job)) is not None:
                self._rejected[job.uid] = failure

    @staticmethod
    def _move(uid: str, item: T, store: ObjectStore[T], other: ObjectStore[S]) -> None:
        """A job is in one of two stores; an older state does not move it back to the other."""
        if not other.has_newer(uid, store.version(item)) and store.put(uid, item):
            other.forget(uid)

    def put_pod(self, document: Json) -> RunnerPod | None:
        """None for a pod without the labels of a run: it is not ours, or was edited. Its known state is kept."""
        try:
            pod = read_pod(document)
        except (KeyError, ValueError) as error:
            log.warning("pod %s has invalid runner labels, ignoring it: %r", document["metadata"]["name"], error)
            return None
        self.pods.put(pod.uid, pod)
        return pod

    def put_slot(self, document: Json) -> Slot | None:
        """None for a Lease with the labels of a slot but another name."""
        try:
            slot = read_slot(document)
        except ValueError as error:
            log.warning("%s", error)
            return None
        self.leases.put(document["metadata"]["uid"], slot)
        return slot

    def drop_job(self, uid: str) -> None:
        self.jobs.drop(uid)
        self.unreadable.drop(uid)
        self.progress.pop(uid, None)
        self._rejected.pop(uid, None)
        self._checked.discard(uid)
        self.durations.forget(uid)

    def keep_only_jobs(self, kind: Kind, uids: set[str], version: int) -> None:
        """Drop the jobs of a kind that a complete list at `version` does not contain."""
        self.jobs.keep_only(uids, version, lambda job: job.kind is kind)
        self.unreadable.keep_only(uids, version, lambda job: job.kind is kind)
        for uid in self._checked - self.jobs.view.keys() - self.unreadable.view.keys():
            self._checked.discard(uid)
            self._rejected.pop(uid, None)

    def slots(self, count: int) -> dict[int, Slot]:
        """The slots below `count`, with or without a Lease, and all others that have one."""
        known = self._known_slots()
        return {number: known.get(number) or Slot(number) for number in sorted({*range(count), *known})}

    def slot(self, number: int) -> Slot:
        return self._known_slots().get(number) or Slot(number)

    def _known_slots(self) -> dict[int, Slot]:
        oldest_first = sorted(self.leases.view.values(), key=lambda slot: int(slot.version or 0))
        return {slot.number: slot for slot in oldest_first}

    def snapshot(self, now: datetime, slot_count: int, template: str | None = None) -> Snapshot:
        """A view, not a copy: use it before the next await. `template` is `Snapshot.template`."""
        self.jobs.pending.refresh(now)
        return Snapshot(
            now=now,
            slot_count=slot_count,
            slots=self.slots(slot_count),
            jobs=self.jobs.view,
            pending=self.jobs.pending,
            unreadable=self.unreadable.view,
            rejected=self._rejected,
            pods=self.pods.view,
            deleted=self._tombstones,
            last_seen=self.pods.last_seen.view,
            progress=self.progress,
            outcomes=self.outcomes,
            template=template,
            durations=self.durations,
        )


def _normalized(job: Job) -> Job:
    """The job as it is stored: its times have a time zone, since they are compared with the current time and a user may
    have edited the status; and equal parts of specs are shared, to save memory."""
    due, ended = job.status.next_attempt_time, job.status.completion_time
    times = {"next_attempt_time": due and aware(due), "completion_time": ended and aware(ended)}
    parts = {name: _shared(part) for name, part in job.spec if isinstance(part, BaseModel) and _is_hashable(part)}
    return replace(job, spec=job.spec.model_copy(update=parts), status=job.status.model_copy(update=times))


def _is_hashable(part: BaseModel) -> bool:
    """False for a part that has a dictionary, such as captions; hardly two jobs have equal ones."""
    try:
        hash(part)
    except TypeError:
        return False
    return True


@lru_cache(maxsize=1000)
def _shared(part: BaseModel) -> BaseModel:
    """The first of equal parts. They are immutable."""
    return part


def _unreadable(kind: Kind, document: Json, error: ValidationError) -> UnreadableJob:
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
