"""The node: its registration, the binding of pods, and a worker for each pod that is its own. Made by `__main__`."""

import asyncio
import contextlib

import httpx

from darkroom_local.errors import ApiError
from darkroom_local.kube.client import Json, KubeClient, Reflector
from darkroom_local.node.journal import RunJournal
from darkroom_local.node.pod_dirs import PodDirs, is_uid
from darkroom_local.node.pod_worker import PodWorker, WorkerContext, close_orphaned_runs
from darkroom_local.node.registration import Registration
from darkroom_local.node.scheduler import Scheduler
from darkroom_local.node.settings import NodeSettings

FINAL_REPORT_SECONDS = 5.0
"""How long a node that stops goes on telling what became of its pods. It tells the rest when it is started again."""


class Node:
    """One node. `run` until cancelled, then `stop`."""

    def __init__(self, client: KubeClient, settings: NodeSettings) -> None:
        self.settings = settings
        self._client = client
        self._context = WorkerContext(settings, client, RunJournal(settings.journal_path), PodDirs(settings.data_dir))
        self._workers: dict[str, PodWorker] = {}
        self._tasks = asyncio.TaskGroup()
        self._registration = Registration(client, settings)
        self._binder = Scheduler(client, settings)

    @property
    def folders(self) -> PodDirs:
        return self._context.folders

    def worker(self, pod_name: str) -> PodWorker | None:
        """The worker of the pod that has this name now."""
        named = [each for each in self._workers.values() if each.name == pod_name and not each.gone]
        return named[-1] if named else None

    async def run(self) -> None:
        """Until it is cancelled or one of its parts fails: a pod that nobody watches would be worse than one that dies.

        After a failure the processes of all pods die with the node, and it says so when it is started again.
        """
        await close_orphaned_runs(self._context)
        path = f"/api/v1/namespaces/{self.settings.namespace}/pods"
        own = Reflector(self._client, path, self._observe, fieldSelector=f"spec.nodeName={self.settings.name}")
        by_name = f"metadata.name={self.settings.name}"
        itself = Reflector(self._client, "/api/v1/nodes", self._observe_node, fieldSelector=by_name)
        async with self._tasks:
            self._tasks.create_task(self._registration.run(), name="register")
            self._tasks.create_task(own.run(), name="watch-own-pods")
            self._tasks.create_task(itself.run(), name="watch-own-node")
            self._tasks.create_task(self._binder.run(), name="binder")

    async def stop(self) -> None:
        """Let runs save their state and leave, kill those that do not, report their ends, and remove the node."""
        for worker in self._workers.values():
            worker.shut_down(self.settings.shutdown_grace_seconds)
        with contextlib.suppress(TimeoutError, ApiError, httpx.TransportError):
            async with asyncio.timeout(FINAL_REPORT_SECONDS):
                await self._registration.withdraw()
        await asyncio.gather(*(worker.process_ended() for worker in self._workers.values()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINAL_REPORT_SECONDS):
                await asyncio.gather(*(worker.told() for worker in self._workers.values()))
        with contextlib.suppress(TimeoutError, ApiError, httpx.TransportError):
            async with asyncio.timeout(FINAL_REPORT_SECONDS):
                await self._registration.remove()

    def close(self) -> None:
        """After `run` has ended."""
        self._context.record.close()

    def _observe(self, pods: dict[str, Json]) -> None:
        for uid, pod in pods.items():
            if uid in self._workers:
                self._workers[uid].observe(pod)
            elif is_uid(uid):
                self._add_worker(pod)
        for uid in [uid for uid in self._workers if uid not in pods]:
            self._workers[uid].observe(None)
        for uid in self.folders.uids():
            if uid not in self._workers:
                self.folders.remove(uid)

    def _observe_node(self, nodes: dict[str, Json]) -> None:
        node = next(iter(nodes.values()), None)
        self._registration.observe(node)
        self._binder.observe_node(node)

    def _add_worker(self, pod: Json) -> None:
        worker = PodWorker(pod, self._context)
        self._workers[worker.uid] = worker
        task = self._tasks.create_task(worker.run(), name=f"pod-{worker.name}")
        task.add_done_callback(lambda _: self._remove_worker(worker))

    def _remove_worker(self, worker: PodWorker) -> None:
        """A worker leaves once its pod is gone; the pod's folder goes with it."""
        if worker.gone:
            del self._workers[worker.uid]
            self.folders.remove(worker.uid)
