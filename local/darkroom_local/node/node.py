"""The node: registration, scheduler, and one worker per pod. Created by `__main__`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx

from darkroom_local.errors import ApiError
from darkroom_local.kube.client import Json, KubeClient
from darkroom_local.kube.reflector import Reflector
from darkroom_local.node.journal import RunJournal
from darkroom_local.node.pod_dirs import PodDirs, is_uid
from darkroom_local.node.pod_worker import PodWorker, WorkerContext, close_orphaned_runs
from darkroom_local.node.registration import Registration
from darkroom_local.node.scheduler import Scheduler
from darkroom_local.node.settings import NodeSettings

FINAL_REPORT_SECONDS = 5.0
"""How long each final request of a stopping node may take. It reports the rest at its next start."""


class Node:
    """One node: `run` until cancelled, then `stop`, then `close`."""

    def __init__(self, client: KubeClient, settings: NodeSettings) -> None:
        self.settings = settings
        self._client = client
        self._context = WorkerContext(settings, client, RunJournal(settings.journal_path), PodDirs(settings.data_dir))
        self._workers: dict[str, PodWorker] = {}
        self._tasks = asyncio.TaskGroup()
        self._registration = Registration(client, settings)
        self._scheduler = Scheduler(client, settings)

    @property
    def dirs(self) -> PodDirs:
        return self._context.dirs

    def worker(self, pod_name: str) -> PodWorker | None:
        """The worker of the current pod of this name."""
        named = [each for each in self._workers.values() if each.name == pod_name and not each.gone]
        return named[-1] if named else None

    async def run(self) -> None:
        """Run until cancelled or until one part fails: an unsupervised pod would be worse than a dead one.

        After a failure the processes of all pods die with the node, and its next start reports them.
        """
        await close_orphaned_runs(self._context)
        path = f"/api/v1/namespaces/{self.settings.namespace}/pods"
        pods = Reflector(self._client, path, self._observe, fieldSelector=f"spec.nodeName={self.settings.name}")
        by_name = f"metadata.name={self.settings.name}"
        node = Reflector(self._client, "/api/v1/nodes", self._observe_node, fieldSelector=by_name)
        async with self._tasks:
            self._tasks.create_task(self._registration.run(), name="register")
            self._tasks.create_task(pods.run(), name="watch-own-pods")
            self._tasks.create_task(node.run(), name="watch-own-node")
            self._tasks.create_task(self._scheduler.run(), name="scheduler")

    async def stop(self) -> None:
        """Stop every pod with a grace period, report the ends, and delete the Node."""
        for worker in self._workers.values():
            worker.shut_down(self.settings.shutdown_grace_seconds)
        async with _best_effort():
            await self._registration.set_not_ready()
        await asyncio.gather(*(worker.wait_until_over() for worker in self._workers.values()))
        async with _best_effort():
            await asyncio.gather(*(worker.flush_status() for worker in self._workers.values()))
        async with _best_effort():
            await self._registration.remove()

    def close(self) -> None:
        """Close the journal. After `run` has ended."""
        self._context.journal.close()

    def _observe(self, pods: dict[str, Json]) -> None:
        for uid, pod in pods.items():
            if uid in self._workers:
                self._workers[uid].observe(pod)
            elif is_uid(uid):
                self._add_worker(pod)
        for uid in [uid for uid in self._workers if uid not in pods]:
            self._workers[uid].observe(None)
        for uid in self.dirs.uids():
            if uid not in self._workers:
                self.dirs.remove(uid)

    def _observe_node(self, nodes: dict[str, Json]) -> None:
        node = next(iter(nodes.values()), None)
        self._registration.observe(node)
        self._scheduler.observe_node(node)

    def _add_worker(self, pod: Json) -> None:
        worker = PodWorker(pod, self._context)
        self._workers[worker.uid] = worker
        task = self._tasks.create_task(worker.run(), name=f"pod-{worker.name}")
        task.add_done_callback(lambda _: self._remove_worker(worker))

    def _remove_worker(self, worker: PodWorker) -> None:
        """Remove the worker of a deleted pod, and the pod's directory."""
        if worker.gone:
            del self._workers[worker.uid]
            self.dirs.remove(worker.uid)


@contextlib.asynccontextmanager
async def _best_effort() -> AsyncIterator[None]:
    """Limit the time of a final request, and ignore its failure."""
    with contextlib.suppress(TimeoutError, ApiError, httpx.TransportError):
        async with asyncio.timeout(FINAL_REPORT_SECONDS):
            yield
