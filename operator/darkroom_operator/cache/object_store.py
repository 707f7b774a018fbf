"""The newest known state of objects, by uid. `cache.py` has one store for each kind of object.

A late event must neither bring back a deleted object nor replace a newer state.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Generic, TypeVar

from darkroom_contract.jobs import Job
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.policy import QueuePolicy
from darkroom_operator.scheduling.queue import PendingQueue

T = TypeVar("T")

MAX_TOMBSTONES = 20_000
MAX_LAST_SEEN_PODS = 100
"""The end of a run is written into its job's status within seconds."""


class Tombstones:
    """Uids of deleted objects; the oldest are dropped."""

    def __init__(self) -> None:
        self._uids: dict[str, None] = {}

    def __contains__(self, uid: object) -> bool:
        return uid in self._uids

    def discard(self, uid: str) -> None:
        self._uids.pop(uid, None)

    def add(self, uid: str) -> None:
        self._uids[uid] = None
        if len(self._uids) > MAX_TOMBSTONES:
            del self._uids[next(iter(self._uids))]


class ObjectStore(Generic[T]):
    """The newest known state of each object of a kind, by uid."""

    def __init__(self, version: Callable[[T], int], tombstones: Tombstones) -> None:
        self.version = version
        self._tombstones = tombstones
        self._items: dict[str, T] = {}
        self.changes = 0
        """Counts every change."""
        self.view: Mapping[str, T] = MappingProxyType(self._items)

    def put(self, uid: str, item: T) -> bool:
        """Store this state, unless the object is deleted or a newer state is known. Whether it was stored."""
        if uid in self._tombstones or self.has_newer(uid, self.version(item)):
            return False
        self.changes += not self.has(uid, self.version(item))
        self._items[uid] = item
        return True

    def revive(self, uid: str, item: T) -> None:
        """Store an object that the API server itself has just returned, whatever a watch has said before."""
        self._tombstones.discard(uid)
        self.put(uid, item)

    def drop(self, uid: str) -> None:
        """The object is deleted."""
        self._tombstones.add(uid)
        self.forget(uid)

    def forget(self, uid: str) -> None:
        """Remove the object without a tombstone: it may still exist."""
        self.changes += self._items.pop(uid, None) is not None

    def has(self, uid: str, version: int) -> bool:
        """Whether this version or a newer one is known."""
        return uid in self._items and self.version(self._items[uid]) >= version

    def has_newer(self, uid: str, version: int) -> bool:
        return uid in self._items and self.version(self._items[uid]) > version

    def newest(self) -> int:
        """The highest version of all objects."""
        return max(map(self.version, self._items.values()), default=0)

    def keep_only(self, uids: set[str], version: int, among: Callable[[T], bool]) -> None:
        """Drop what a complete list at `version` does not contain, except what is newer than the list."""
        for uid in self._missing(uids, version):
            if among(self._items[uid]):
                self.drop(uid)

    def forget_others(self, uids: set[str], version: int) -> None:
        """Like `keep_only`, but without tombstones."""
        for uid in self._missing(uids, version):
            self.forget(uid)

    def _missing(self, uids: set[str], version: int) -> list[str]:
        return [uid for uid, item in self._items.items() if uid not in uids and self.version(item) <= version]


class LastSeenPods:
    """The last known state of deleted pods, by uid; the oldest are dropped."""

    def __init__(self) -> None:
        self._pods: dict[str, RunnerPod] = {}
        self.view: Mapping[str, RunnerPod] = MappingProxyType(self._pods)

    def add(self, pod: RunnerPod | None) -> None:
        if pod is None:
            return
        self._pods[pod.uid] = pod
        if len(self._pods) > MAX_LAST_SEEN_PODS:
            del self._pods[next(iter(self._pods))]


class PodStore(ObjectStore[RunnerPod]):
    """Pods, and the last known state of those that were removed."""

    def __init__(self, tombstones: Tombstones) -> None:
        super().__init__(lambda pod: int(pod.version), tombstones)
        self.last_seen = LastSeenPods()

    def put(self, uid: str, item: RunnerPod) -> bool:
        before = self.view.get(uid)
        if before is not None and before.foreign and not item.foreign:
            item = replace(item, foreign=True)  # The other controller has removed its gate, and still accounts for it.
        return super().put(uid, item)

    def forget(self, uid: str) -> None:
        self.last_seen.add(self.view.get(uid))
        super().forget(uid)


class JobStore(ObjectStore[Job]):
    """Jobs, and the queue of the unfinished ones."""

    def __init__(self, tombstones: Tombstones, policy: QueuePolicy) -> None:
        super().__init__(lambda job: int(job.resource_version), tombstones)
        self.pending = PendingQueue(policy=policy)

    def put(self, uid: str, item: Job) -> bool:
        before = self.view.get(uid)
        if before is not None and before.order < item.order:
            item = replace(item, order=before.order)  # The first version that was seen is the closest to the creation.
        if not super().put(uid, item):
            return False
        self.pending.put(item)
        return True

    def forget(self, uid: str) -> None:
        self.pending.remove(uid)
        super().forget(uid)
