"""The operator's memory of jobs, pods and slots: what the watches show and what our own requests answered, whichever is
newer.

Filled by `resync.py`, which lists everything before anybody acts, by `handlers.py` with what the watches show, and by
`requests.py` with answers: a decision that is made before the watch has shown the last one would be made twice.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from darkroom_contract.jobs import Job, read_job
from darkroom_contract.names import Kind
from darkroom_contract.progress import ProgressEvent
from darkroom_operator.documents import LEASES, PODS, Json, aware
from darkroom_operator.experience import Experience
from darkroom_operator.line import Line
from darkroom_operator.runner_pod import RunnerPod, read_pod
from darkroom_operator.slot import SLOTS, Slot, read_slot
from darkroom_operator.world import BrokenJob, World

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")

_KINDS = {kind.plural: kind for kind in Kind}

REMEMBERED_GONE = 20_000
"""Uids of objects that are gone. An old event about one of them must not bring it back."""
REMEMBERED_PODS = 100
"""Pods that are gone: the end of a run is written down within seconds."""


class Gone:
    """Uids that are known not to exist any more; the oldest are forgotten."""

    def __init__(self) -> None:
        self._uids: dict[str, None] = {}

    def __contains__(self, uid: object) -> bool:
        return uid in self._uids

    def discard(self, uid: str) -> None:
        self._uids.pop(uid, None)

    def add(self, uid: str) -> None:
        self._uids[uid] = None
        if len(self._uids) > REMEMBERED_GONE:
            del self._uids[next(iter(self._uids))]


class Shelf(Generic[T]):
    """The newest known state of each object of a kind, by uid."""

    def __init__(self, version: Callable[[T], int], gone: Gone) -> None:
        self.version = version
        self._gone = gone
        self._items: dict[str, T] = {}
        self.changes = 0
        """Counts up with each."""
        self.view: Mapping[str, T] = MappingProxyType(self._items)

    def put(self, uid: str, item: T) -> bool:
        """Whether it was put there: it is not when something newer is known."""
        if uid in self._gone or self.has_newer(uid, self.version(item)):
            return False
        self.changes += not self.has(uid, self.version(item))
        self._items[uid] = item
        return True

    def revive(self, uid: str, item: T) -> None:
        """The API server itself was asked, and the object exists, whatever a watch has said."""
        self._gone.discard(uid)
        self.put(uid, item)

    def drop(self, uid: str) -> None:
        """The object does not exist any more."""
        self._gone.add(uid)
        self.forget(uid)

    def forget(self, uid: str) -> None:
        """The object exists, but no longer belongs on this shelf."""
        self.changes += self._items.pop(uid, None) is not None

    def has(self, uid: str, version: int) -> bool:
        """Whether this state, or a newer one, is known."""
        return uid in self._items and self.version(self._items[uid]) >= version

    def has_newer(self, uid: str, version: int) -> bool:
        return uid in self._items and self.version(self._items[uid]) > version

    def newest(self) -> int:
        """The highest version of all."""
        return max(map(self.version, self._items.values()), default=0)

    def keep_only(self, uids: set[str], version: int, among: Callable[[T], bool]) -> None:
        """Drop what a complete list at `version` did not have, but for what came after it."""
        for uid in self._missing(uids, version):
            if among(self._items[uid]):
                self.drop(uid)

    def forget_others(self, uids: set[str], version: int) -> None:
        """As `keep_only`, but what is missing is not taken for gone."""
        for uid in self._missing(uids, version):
            self.forget(uid)

    def _missing(self, uids: set[str], version: int) -> list[str]:
        return [uid for uid, item in self._items.items() if uid not in uids and self.version(item) <= version]


class LastPods:
    """The last known state of pods that are gone, by uid; the oldest are forgotten."""

    def __init__(self) -> None:
        self._pods: dict[str, RunnerPod] = {}
        self.view: Mapping[str, RunnerPod] = MappingProxyType(self._pods)

    def add(self, pod: RunnerPod | None) -> None:
        if pod is None:
            return
        self._pods[pod.uid] = pod
        if len(self._pods) > REMEMBERED_PODS:
            del self._pods[next(iter(self._pods))]


class JobShelf(Shelf[Job]):
    """Jobs, and those of them in line that have not ended."""

    def __init__(self, gone: Gone) -> None:
        super().__init__(lambda job: int(job.resource_version), gone)
        self.line = Line()

    def put(self, uid: str, item: Job) -> bool:
        before = self.view.get(uid)
        if before is not None and before.order < item.order:
            item = replace(item, order=before.order)  # The version at which it was first seen is the earliest.
        if not super().put(uid, item):
            return False
        if before is not None:
            self.line.remove(before)
        self.line.add(item)
        return True

    def forget(self, uid: str) -> None:
        if uid in self.view:
            self.line.remove(self.view[uid])
        super().forget(uid)


class Cache:
    """All that is known."""

    def __init__(self) -> None:
        self._gone = Gone()
        self.jobs = JobShelf(self._gone)
        self.broken: Shelf[BrokenJob] = Shelf(lambda job: int(job.version), self._gone)
        self.pods: Shelf[RunnerPod] = Shelf(lambda pod: int(pod.version), self._gone)
        self.leases: Shelf[Slot] = Shelf(lambda slot: int(slot.version or 0), self._gone)
        self.last_pods = LastPods()
        self.progress: dict[str, ProgressEvent] = {}
        self.experience = Experience()

    @property
    def changes(self) -> int:
        """Counts up with each."""
        return sum(shelf.changes for shelf in self._shelves)

    @property
    def _shelves(self) -> tuple[Shelf[Job], Shelf[BrokenJob], Shelf[RunnerPod], Shelf[Slot]]:
        return self.jobs, self.broken, self.pods, self.leases

    def see(self, plural: str, document: Json) -> bool:
        """What a watch or a list shows. Whether it was news: not so when an answer or the other one was faster."""
        uid, version = document["metadata"]["uid"], int(document["metadata"]["resourceVersion"])
        if any(shelf.has(uid, version) for shelf in self._shelves):
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
            self.last_pods.add(_read_runner_pod(document))
            self.pods.forget(uid)
        elif plural == LEASES:
            self.leases.forget(uid)
        else:
            self.drop_job(uid)

    def put_job(self, kind: Kind, document: Json) -> Job | BrokenJob:
        try:
            job = _kept(read_job({**document, "kind": kind.value}))
        except ValidationError as error:
            broken = _broken(kind, document, error)
            self._move(broken.uid, broken, self.broken, self.jobs)
            return broken
        self._move(job.uid, job, self.jobs, self.broken)
        self.experience.learn(job)
        return job

    @staticmethod
    def _move(uid: str, item: T, shelf: Shelf[T], other: Shelf[S]) -> None:
        """A job is on one of two shelves; an older state does not take it from the other."""
        if not other.has_newer(uid, shelf.version(item)) and shelf.put(uid, item):
            other.forget(uid)

    def put_pod(self, document: Json) -> RunnerPod | None:
        """None for a pod whose labels are not those of a run: somebody else's, or meddled with. What is known of it
        stays."""
        pod = _read_runner_pod(document)
        if pod is not None:
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
        self.experience.forget(uid)

    def keep_only_jobs(self, kind: Kind, uids: set[str], version: int) -> None:
        self.jobs.keep_only(uids, version, lambda job: job.kind is kind)
        self.broken.keep_only(uids, version, lambda job: job.kind is kind)

    def slots(self, count: int) -> dict[int, Slot]:
        """Slots below `count`, whether their Leases exist or not, and all others that have one."""
        known = self._known_slots()
        return {number: known.get(number) or Slot(number) for number in sorted({*range(count), *known})}

    def slot(self, number: int) -> Slot:
        return self._known_slots().get(number) or Slot(number)

    def _known_slots(self) -> dict[int, Slot]:
        oldest_first = sorted(self.leases.view.values(), key=lambda slot: int(slot.version or 0))
        return {slot.number: slot for slot in oldest_first}

    def world(self, now: datetime, slot_count: int) -> World:
        """A view, not a copy: to be used before anything else is awaited."""
        return World(
            now=now,
            slot_count=slot_count,
            slots=self.slots(slot_count),
            jobs=self.jobs.view,
            line=self.jobs.line,
            broken=self.broken.view,
            pods=self.pods.view,
            gone=self._gone,
            last_seen=self.last_pods.view,
            progress=self.progress,
            experience=self.experience,
        )


def _read_runner_pod(document: Json) -> RunnerPod | None:
    try:
        return read_pod(document)
    except (KeyError, ValueError) as error:
        log.warning("the pod %s is labelled as a run's but can't be read: %r", document["metadata"]["name"], error)
        return None


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


def _broken(kind: Kind, document: Json, error: ValidationError) -> BrokenJob:
    metadata = document["metadata"]
    faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return BrokenJob(
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
