"""The newest known state of objects, by uid: what `cache.py` is made of. Knows nothing of the API server.

An old event about an object that is gone must not bring it back, and one that is behind must not replace what is newer.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Generic, TypeVar

from darkroom_contract.jobs import Job
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.queue import PendingQueue

T = TypeVar("T")

REMEMBERED_GONE = 20_000
"""Uids of objects that are gone. An old event about one of them must not bring it back."""
REMEMBERED_PODS = 100
"""Pods that are gone: the end of a run is written down within seconds."""


class Tombstones:
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


class ObjectStore(Generic[T]):
    """The newest known state of each object of a kind, by uid."""

    def __init__(self, version: Callable[[T], int], gone: Tombstones) -> None:
        self.version = version
        self._tombstones = gone
        self._items: dict[str, T] = {}
        self.changes = 0
        """Counts up with each."""
        self.view: Mapping[str, T] = MappingProxyType(self._items)

    def put(self, uid: str, item: T) -> bool:
        """Whether it was put there: it is not when something newer is known."""
        if uid in self._tombstones or self.has_newer(uid, self.version(item)):
            return False
        self.changes += not self.has(uid, self.version(item))
        self._items[uid] = item
        return True

    def revive(self, uid: str, item: T) -> None:
        """The API server itself was asked, and the object exists, whatever a watch has said."""
        self._tombstones.discard(uid)
        self.put(uid, item)

    def drop(self, uid: str) -> None:
        """The object does not exist any more."""
        self._tombstones.add(uid)
        self.forget(uid)

    def forget(self, uid: str) -> None:
        """The object exists, but no longer belongs on this store."""
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


class LastSeenPods:
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


class PodStore(ObjectStore[RunnerPod]):
    """Pods, and the last known state of those that are gone."""

    def __init__(self, gone: Tombstones) -> None:
        super().__init__(lambda pod: int(pod.version), gone)
        self.last_seen = LastSeenPods()

    def forget(self, uid: str) -> None:
        self.last_seen.add(self.view.get(uid))
        super().forget(uid)


class JobStore(ObjectStore[Job]):
    """Jobs, and those of them in line that have not ended."""

    def __init__(self, gone: Tombstones) -> None:
        super().__init__(lambda job: int(job.resource_version), gone)
        self.line = PendingQueue()

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
