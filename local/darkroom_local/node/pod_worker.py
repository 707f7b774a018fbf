"""The life of one pod on this node, from its start to its removal. One worker for each pod; `node.py` owns them.

A pod is started at most once, ever: that it was started stands in the record before it is, and what stands there is
never started again, by this node or by one that was restarted.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from darkroom_local.errors import NotFoundError
from darkroom_local.kube.client import Json, KubeClient, retry_until_answered
from darkroom_local.node import container_process, pod_spec, pod_status
from darkroom_local.node.journal import LOST, SHUT_DOWN, ContainerEnd, RunJournal, RunRecord
from darkroom_local.node.pod_dirs import PodDirs
from darkroom_local.node.pod_lifecycle import PodLifecycle
from darkroom_local.node.pod_spec import CannotStartError, Sources
from darkroom_local.node.settings import NodeSettings
from darkroom_local.node.status_writer import PodStatusWriter

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""How long a pod that could not be started, or a record that could not be written, waits for another try."""
NEVER_BEGAN = ContainerEnd(container_process.KILLED, "Error", 0, 0)


@dataclass(frozen=True)
class WorkerContext:
    """What all workers of a node share."""

    settings: NodeSettings
    client: KubeClient
    record: RunJournal
    folders: PodDirs


class PodWorker:
    """One pod. `observe` tells it what the API server shows; `run` does the work."""

    def __init__(self, pod: Json, context: WorkerContext) -> None:
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.name: str = pod["metadata"]["name"]
        self.gone = False
        """The API server has it no more."""
        self._context = context
        self._folder = context.folders.of(self.uid)
        self._stopping = asyncio.Event()
        self._stop_at = float("inf")
        self._note = ""
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._run: PodLifecycle | None = None
        path = f"/api/v1/namespaces/{context.settings.namespace}/pods/{self.name}"
        self._reports = PodStatusWriter(context.client, path, self.uid)
        self.observe(pod)

    @property
    def interval(self) -> RunRecord | None:
        """Its run, once it was started."""
        return self._context.record.runs.get(self.uid)

    @property
    def is_over(self) -> bool:
        """Nothing of it runs, and nothing of it will."""
        return self.interval is not None and self.interval.ended is not None

    def is_container_over(self, name: str) -> bool:
        """Nothing more will be written to its log."""
        return self.is_over or (self._run is not None and self._run.is_over(name))

    def observe(self, pod: Json | None) -> None:
        """The pod as it is now; None when it is gone, which ends its process at once."""
        if pod is None:
            self.gone = True
            self._stop(0)
        else:
            self.pod = pod
            self._reports.repair(pod.get("status") or {})
            if "deletionTimestamp" in pod["metadata"]:
                self._stop(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
        self._changed.set()

    def shut_down(self, grace_seconds: float) -> None:
        """The node was told to stop."""
        self._note = SHUT_DOWN
        self._stop(grace_seconds)

    async def process_ended(self) -> None:
        """Wait until nothing of it runs or will run, and the record says so. After `shut_down`, or it may take long."""
        await self._over.wait()

    async def told(self) -> None:
        await self._reports.told()

    async def run(self) -> None:
        """Until the pod is gone from the API server and nothing of it runs."""
        reporting = asyncio.create_task(self._reports.run(), name=f"report-{self.name}")
        try:
            if self.interval is None and not self._is_settled():
                await self._start_and_wait()
            self._over.set()
            await self._report_end()
            await self._leave()
        finally:
            self._over.set()
            reporting.cancel()
            self._reports.give_up()

    def _is_settled(self) -> bool:
        """Somebody has said from afar that the pod is over (pod garbage collection does)."""
        return (self.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")

    async def _start_and_wait(self) -> None:
        run = await self._prepare()
        if run is None:
            return
        self._run = run
        grace_seconds = float(self.pod["spec"].get("terminationGracePeriodSeconds") or 0)
        stopping = asyncio.create_task(self._enforce_stop(run))
        await run.run(grace_seconds)
        stopping.cancel()
        if self.interval is None:
            return  # It was stopped before anything of it had begun.
        end = run.decisive_end or NEVER_BEGAN
        log.info("%s ended with %d (%s)", self.name, end.exit_code, end.reason)
        await _insist(lambda: self._context.record.end(self.uid, end.exit_code, end.reason, self._note))

    async def _prepare(self) -> PodLifecycle | None:
        """What is to be run, or None when the pod was stopped before that was known."""
        if not self._stopping.is_set():
            self._reports.tell(pod_status.waiting(self.pod, "ContainerCreating"))
        while not self._stopping.is_set():
            try:
                return await self._try_to_prepare()
            except CannotStartError as error:
                log.warning("%s waits: %s", self.name, error)
                self._reports.tell(pod_status.waiting(self.pod, error.reason, str(error), error.container))
                await _first_of(self._stopping.wait(), asyncio.sleep(RETRY_SECONDS))
        return None

    async def _try_to_prepare(self) -> PodLifecycle | None:
        try:
            order = pod_spec.order(self.pod)
            gathering = asyncio.create_task(self._sources())
            await _first_of(gathering, self._stopping.wait())
            if self._stopping.is_set():
                return None
            bin_dir = self._context.settings.bin_dir
            process_specs = pod_spec.process_specs(self.pod, gathering.result(), self._folder, bin_dir)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise pod_spec.config_error(f"the pod can't be read: {error!r}") from error
        return PodLifecycle(order, process_specs, self._folder, self)

    def begin(self, pid: int) -> None:
        """The pod's first process exists (`LifecycleListener`)."""
        if self.interval is None:
            self._context.record.start(self.uid, self.name, pid, self.pod["metadata"].get("labels") or {})
            log.info("%s starts as process %d", self.name, pid)

    async def container_ended(self, name: str, end: ContainerEnd) -> None:
        """Of several containers each end is on record (`LifecycleListener`)."""
        if len(pod_spec.containers(self.pod)) > 1:
            await _insist(lambda: self._context.record.container_end(self.uid, name, end))

    def changed(self) -> None:
        """Report the states of the containers; the end of all is reported from the record (`LifecycleListener`)."""
        if self._run is not None and not self._run.has_ended:
            self._reports.tell(pod_status.observed(self.pod, self._run.seen))

    async def _sources(self) -> Sources:
        secret_names, config_map_names = pod_spec.source_names(self.pod)
        secrets = {name: await self._get("secrets", name) for name in secret_names}
        config_maps = {name: await self._get("configmaps", name) for name in config_map_names}
        return Sources(
            secrets={name: pod_spec.decode_secret(each) for name, each in secrets.items() if each},
            config_maps={name: each.get("data") or {} for name, each in config_maps.items() if each},
        )

    async def _get(self, plural: str, name: str) -> Json | None:
        path = f"/api/v1/namespaces/{self._context.settings.namespace}/{plural}/{name}"
        try:
            return await retry_until_answered(lambda: self._context.client.get(path))
        except NotFoundError:
            return None

    def _stop(self, grace_seconds: float) -> None:
        """Begin to stop, or shorten the time that stopping may take."""
        self._stop_at = min(self._stop_at, asyncio.get_running_loop().time() + grace_seconds)
        self._stopping.set()
        self._changed.set()

    async def _enforce_stop(self, run: PodLifecycle) -> None:
        """SIGTERM as soon as the pod is to stop, SIGKILL when its time is up. Cancelled when all have ended."""
        clock = asyncio.get_running_loop().time
        await self._stopping.wait()
        run.terminate()
        while (left := self._stop_at - clock()) > 0:
            self._changed.clear()
            await _first_of(self._changed.wait(), asyncio.sleep(left))
        run.kill()

    async def _report_end(self) -> None:
        if self.interval is None or self.interval.ended is None or self.gone:
            return
        if not pod_status.is_reported(self.pod):
            names = [each["name"] for each in pod_spec.containers(self.pod)]
            messages = {name: self._folder.container(name).read_termination_message() for name in names}
            self._reports.tell(pod_status.ended(self.pod, self.interval, messages))
            await self._reports.told()
        self._folder.clear()

    async def _leave(self) -> None:
        """Once the pod is to be deleted, delete it: this node is the one that knows that nothing of it runs."""
        await self._until(lambda: self.gone or "deletionTimestamp" in self.pod["metadata"])
        await self._reports.delete()
        await self._until(lambda: self.gone)  # Somebody's finalizer may keep it.

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


async def _insist(write: Callable[[], object]) -> None:
    """Repeat a write to the record until it succeeds: what is not on record must not be acted upon."""
    while True:
        try:
            write()
        except OSError as error:
            log.error("the record can't be written: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


async def _first_of(*awaitables: Awaitable[object]) -> None:
    """Return when one of them is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def close_orphaned_runs(context: WorkerContext) -> None:
    """Runs of a node that died: end what is left of them, and say so in the record. Before anything is started."""
    for run in [run for run in context.record.runs.values() if run.ended is None]:
        for container in context.folders.of(run.pod_uid).containers():
            await container_process.kill_remaining_processes(container)
        context.record.end(run.pod_uid, container_process.KILLED, "Error", LOST)
        log.warning("%s was lost when this node died", run.pod_name)
