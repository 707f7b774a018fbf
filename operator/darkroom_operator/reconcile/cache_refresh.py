"""Reads single objects again and puts them into the cache, after a conflict or to verify a watch. Used by
`executor.py`.

An object that the API server no longer has is dropped from the cache. Errors other than 404 are raised.
"""

from darkroom_contract.names import Kind
from darkroom_operator.cache.cache import Cache, uids
from darkroom_operator.errors import NotFoundError
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.kube.objects import Json
from darkroom_operator.pods.runner_pod import LABEL_SLOT, RunnerPod
from darkroom_operator.scheduling.slot import Slot


class CacheRefresh:
    """One method for each kind of object."""

    def __init__(self, kube: KubeClient, cache: Cache) -> None:
        self._kube = kube
        self._cache = cache

    async def pods_in(self, slot: int, expected_uid: str) -> None:
        """List the pods of a slot; those that are cached or expected and not in the list are dropped."""
        found, version = set(), 0
        async for text, page in self._kube.list_pods({LABEL_SLOT: str(slot)}):
            version = int(text)
            found |= uids(page)
            for document in page:
                self.put_pod(document)
        cached = self._cache.pods.view
        # Newer pods can't be in the list.
        known = {pod.uid for pod in cached.values() if pod.slot == slot and int(pod.version) <= version}
        for uid in (known | ({expected_uid} - cached.keys())) - found:
            self._cache.pods.drop(uid)

    def put_pod(self, document: Json) -> RunnerPod | None:
        """Add a pod that the API server itself has just returned: it exists."""
        pod = self._cache.put_pod(document)
        if pod is not None:
            self._cache.pods.revive(pod.uid, pod)
        return pod

    async def slot(self, lease: Slot) -> None:
        try:
            document = await self._kube.get_lease(lease.name)
        except NotFoundError:
            document = {}
        found = self._cache.put_slot(document) if document else None
        if found is not None and found.uid is not None:
            self._cache.leases.revive(found.uid, found)
        if lease.uid is not None and (found is None or found.uid != lease.uid):
            self._cache.leases.drop(lease.uid)

    async def pod(self, pod: RunnerPod) -> None:
        try:
            document = await self._kube.get_pod(pod.name)
        except NotFoundError:
            self._cache.pods.drop(pod.uid)
            return
        self.put_pod(document)
        if document["metadata"]["uid"] != pod.uid:
            self._cache.pods.drop(pod.uid)

    async def job(self, kind: Kind, name: str, uid: str) -> None:
        try:
            found = self._cache.put_job(kind, await self._kube.get_job(kind, name))
        except NotFoundError:
            found = None
        if found is None or found.uid != uid:
            self._cache.drop_job(uid)

    async def jobs(self, uid: str) -> None:
        """List all jobs to find one by its uid."""
        found: set[str] = set()
        for kind in Kind:
            async for _, page in self._kube.list_jobs(kind):
                found |= {self._cache.put_job(kind, document).uid for document in page}
        if uid not in found:
            self._cache.drop_job(uid)
