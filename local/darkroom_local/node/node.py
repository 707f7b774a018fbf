"""The node: its registration, the binding of pods, and a worker for each pod that is its own. Made by `__main__`."""

import asyncio
import contextlib
import logging

import httpx

from darkroom_local.errors import ApiError
from darkroom_local.kube import Json, KubeClient, Mirror
from darkroom_local.node.binder import Binder
from darkroom_local.node.folders import PodFolders, is_uid
from darkroom_local.node.record import Record
from darkroom_local.node.registration import Registration
from darkroom_local.node.settings import NodeSettings
from darkroom_local.node.worker import Premises, Worker, close_lost_runs

log = logging.getLogger(__name__)

LAST_WORDS_SECONDS = 5.0
"""How long a node that stops goes on telling what became of its pods. It tells the rest when it is started again."""


class Node:
    """One node. `run` until cancelled, then `stop`."""

    def __init__(self, client: KubeClient, settings: NodeSettings) -> None:
        self.settings = settings
        self._client = client
        self._premises = Premises(settings, client, Record(settings.record_path), PodFolders(settings.data_dir))
        self._workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._registration = Registration(client, settings)

    @property
    def folders(self) -> PodFolders:
        return self._premises.folders

    def worker(self, pod_name: str) -> Worker | None:
        """The worker of the pod that has this name now."""
        named = [each for each in self._workers.values() if each.name == pod_name and not each.gone]
        return named[-1] if named else None

    async def run(self) -> None:
        """Until it is cancelled."""
        await close_lost_runs(self._premises)
        path = f"/api/v1/namespaces/{self.settings.namespace}/pods"
        own = Mirror(self._client, path, self._observe, fieldSelector=f"spec.nodeName={self.settings.name}")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._registration.run(), name="register")
            tasks.create_task(own.run(), name="watch-own-pods")
            tasks.create_task(Binder(self._client, self.settings).run(), name="binder")

    async def stop(self) -> None:
        """Let runs save their state and leave, kill those that do not, and tell what can be told."""
        for worker in self._workers.values():
            worker.shut_down(self.settings.shutdown_grace_seconds)
        with contextlib.suppress(TimeoutError, ApiError, httpx.TransportError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._registration.withdraw()
        await asyncio.gather(*(worker.process_ended() for worker in self._workers.values()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await asyncio.gather(*(worker.told() for worker in self._workers.values()))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._premises.record.close()

    def _observe(self, pods: dict[str, Json]) -> None:
        for uid, pod in pods.items():
            if uid in self._workers:
                self._workers[uid].observe(pod)
            elif is_uid(uid):
                self._employ(pod)
        for uid in [uid for uid in self._workers if uid not in pods]:
            self._workers[uid].observe(None)
        for uid in self.folders.uids():
            if uid not in self._workers:
                self.folders.remove(uid)

    def _employ(self, pod: Json) -> None:
        worker = Worker(pod, self._premises)
        self._workers[worker.uid] = worker
        task = asyncio.create_task(worker.run(), name=f"pod-{worker.name}")
        self._tasks[worker.uid] = task
        task.add_done_callback(lambda done: self._dismiss(worker, done))

    def _dismiss(self, worker: Worker, done: "asyncio.Task[None]") -> None:
        """A worker leaves once its pod is gone; the pod's folder goes with it."""
        if not done.cancelled() and (error := done.exception()):
            log.error("the worker of %s failed", worker.name, exc_info=error)
        if worker.gone:
            del self._workers[worker.uid], self._tasks[worker.uid]
            self.folders.remove(worker.uid)
