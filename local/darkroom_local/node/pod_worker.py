"""The life of one pod on this node, from its start to its removal. `node.py` owns one worker per pod.

A pod is started at most once: the journal holds the start before it happens, and a pod in the journal is never started
again, neither by this node nor after a restart. New labels are in the journal too before the pod's files follow them.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from darkroom_local.errors import NotFoundError
from darkroom_local.kube.client import Json, KubeClient
from darkroom_local.kube.retry import retry_until_answered
from darkroom_local.node.container_env import EnvSources, decode_secret, referenced_sources
from darkroom_local.node.container_process import SIGKILL_EXIT_CODE, kill_remaining_processes
from darkroom_local.node.downward_api import write_volumes
from darkroom_local.node.errors import CannotStartError, config_error
from darkroom_local.node.journal import LOST, SHUT_DOWN, ContainerEnd, RunJournal, RunRecord
from darkroom_local.node.pod_dirs import PodDirs
from darkroom_local.node.pod_lifecycle import PodLifecycle
from darkroom_local.node.pod_spec import all_containers, process_specs, start_order
from darkroom_local.node.pod_status import TERMINAL_PHASES, current_status, final_status, is_reported, waiting_status
from darkroom_local.node.registration import machine_resources
from darkroom_local.node.settings import NodeSettings
from darkroom_local.node.status_writer import PodStatusWriter
from darkroom_local.node.waiting import first_of

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""Between attempts to start a pod, or to write to the data directory."""
NEVER_STARTED = ContainerEnd(SIGKILL_EXIT_CODE, "Error", 0, 0)


@dataclass(frozen=True)
class WorkerContext:
    """What all workers of a node share."""

    settings: NodeSettings
    client: KubeClient
    journal: RunJournal
    dirs: PodDirs


class PodWorker:
    """One pod. `observe` receives its current state from the API server; `run` does the work."""

    def __init__(self, pod: Json, context: WorkerContext) -> None:
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.name: str = pod["metadata"]["name"]
        self.gone = False
        """The API server has deleted it."""
        self._context = context
        self._dir = context.dirs.of(self.uid)
        self._stopping = asyncio.Event()
        self._stop_deadline = float("inf")
        self._note = ""
        self._changed, self._updated = asyncio.Event(), asyncio.Event()
        self._over = asyncio.Event()
        self._lifecycle: PodLifecycle | None = None
        path = f"/api/v1/namespaces/{context.settings.namespace}/pods/{self.name}"
        self._status = PodStatusWriter(context.client, path, self.uid)
        self.observe(pod)

    @property
    def run_record(self) -> RunRecord | None:
        """Its run in the journal, once it started."""
        return self._context.journal.runs.get(self.uid)

    @property
    def is_over(self) -> bool:
        """Whether its run has ended."""
        return self.run_record is not None and self.run_record.ended is not None

    def is_container_over(self, name: str) -> bool:
        """Whether the container's log is complete."""
        return self.is_over or (self._lifecycle is not None and self._lifecycle.is_over(name))

    def observe(self, pod: Json | None) -> None:
        """The pod's current state; None when it was deleted, which kills its processes at once."""
        if pod is None:
            self.gone = True
            self._stop(0)
        else:
            self.pod = pod
            self._updated.set()
            self._status.correct(pod.get("status") or {})
            if "deletionTimestamp" in pod["metadata"]:
                self._stop(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
        self._changed.set()

    def shut_down(self, grace_seconds: float) -> None:
        """Stop the pod because the node shuts down."""
        self._note = SHUT_DOWN
        self._stop(grace_seconds)

    async def wait_until_over(self) -> None:
        """Wait until no process of the pod runs or will run, and the journal says so."""
        await self._over.wait()

    async def flush_status(self) -> None:
        await self._status.flush()

    async def run(self) -> None:
        """Run until the pod was deleted from the API server and no process is left."""
        writing = asyncio.create_task(self._status.run(), name=f"status-{self.name}")
        try:
            if self.run_record is None and not self._has_terminal_phase():
                await self._start_and_wait()
            self._over.set()
            await self._report_end()
            await self._await_deletion()
        finally:
            self._over.set()
            writing.cancel()
            self._status.close()

    def _has_terminal_phase(self) -> bool:
        """Another controller (pod garbage collection) may end a pod that never started."""
        return (self.pod.get("status") or {}).get("phase") in TERMINAL_PHASES

    async def _start_and_wait(self) -> None:
        lifecycle = await self._prepare()
        if lifecycle is None:
            return
        self._lifecycle = lifecycle
        grace_seconds = float(self.pod["spec"].get("terminationGracePeriodSeconds") or 0)
        stopping = asyncio.create_task(self._enforce_stop(lifecycle))
        following = asyncio.create_task(self._follow_updates())
        await lifecycle.run(grace_seconds)
        stopping.cancel()
        following.cancel()
        if self.run_record is None:
            return  # It was stopped before its first process.
        end = lifecycle.decisive_end or NEVER_STARTED
        log.info("%s ended with exit code %d (%s)", self.name, end.exit_code, end.reason)
        await _retry_write(lambda: self._context.journal.end(self.uid, end.exit_code, end.reason, self._note))

    async def _prepare(self) -> PodLifecycle | None:
        """The pod, ready to run; None when it was stopped first."""
        if not self._stopping.is_set():
            self._status.submit(waiting_status(self.pod, "ContainerCreating"))
        while not self._stopping.is_set():
            try:
                return await self._try_to_prepare()
            except CannotStartError as error:
                log.warning("%s can't be started: %s; retrying", self.name, error)
                self._status.submit(waiting_status(self.pod, error.reason, str(error), error.container))
                await first_of(self._stopping.wait(), timeout_seconds=RETRY_SECONDS)
        return None

    async def _try_to_prepare(self) -> PodLifecycle | None:
        try:
            order = start_order(self.pod)
            fetching = asyncio.create_task(self._fetch_sources())
            await first_of(fetching, self._stopping.wait())
            if self._stopping.is_set():
                return None
            specs = process_specs(self.pod, fetching.result(), self._dir, self._context.settings.bin_dir)
            self._write_volumes()
        except OSError as error:
            raise CannotStartError("ContainerCreating", f"MountVolume.SetUp failed: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise config_error(f"the pod's manifest is invalid: {error!r}") from error
        return PodLifecycle(order, specs, self._dir, self)

    def _write_volumes(self) -> None:
        write_volumes(self.pod, self._dir, machine_resources())

    async def _follow_updates(self) -> None:
        """Carry changes of labels and annotations into the journal and the pod's files.

        Cancelled when every container ended. A pod that is being stopped gets no changes, as from a kubelet.
        """
        while not self._stopping.is_set():
            await self._updated.wait()
            self._updated.clear()
            await _retry_write(self._write_update)

    def _write_update(self) -> None:
        run, labels = self.run_record, self.pod["metadata"].get("labels") or {}
        if run is not None and labels != run.newest_labels:
            self._context.journal.relabel(self.uid, labels)
            log.info("%s has new labels: %s", self.name, labels)
        if not self._stopping.is_set():
            self._write_volumes()

    def process_created(self, pid: int) -> None:
        """See `LifecycleListener`."""
        if self.run_record is None:
            self._context.journal.start(self.uid, self.name, pid, self.pod["metadata"].get("labels") or {})
            log.info("%s starts as process %d", self.name, pid)

    async def container_ended(self, name: str, end: ContainerEnd) -> None:
        """See `LifecycleListener`. The end of a single container is the end of the run."""
        if len(all_containers(self.pod)) > 1:
            await _retry_write(lambda: self._context.journal.container_end(self.uid, name, end))

    def state_changed(self) -> None:
        """See `LifecycleListener`. The final status is built from the journal instead."""
        if self._lifecycle is not None and not self._lifecycle.has_ended:
            self._status.submit(current_status(self.pod, self._lifecycle.observation))

    async def _fetch_sources(self) -> EnvSources:
        secret_names, config_map_names = referenced_sources(all_containers(self.pod))
        secrets = {name: await self._get("secrets", name) for name in secret_names}
        config_maps = {name: await self._get("configmaps", name) for name in config_map_names}
        return EnvSources(
            secrets={name: decode_secret(each) for name, each in secrets.items() if each},
            config_maps={name: each.get("data") or {} for name, each in config_maps.items() if each},
            allocatable=machine_resources(),
        )

    async def _get(self, plural: str, name: str) -> Json | None:
        path = f"/api/v1/namespaces/{self._context.settings.namespace}/{plural}/{name}"
        try:
            return await retry_until_answered(lambda: self._context.client.get(path))
        except NotFoundError:
            return None

    def _stop(self, grace_seconds: float) -> None:
        """Begin to stop, or shorten the remaining grace period."""
        self._stop_deadline = min(self._stop_deadline, asyncio.get_running_loop().time() + grace_seconds)
        self._stopping.set()
        self._changed.set()

    async def _enforce_stop(self, lifecycle: PodLifecycle) -> None:
        """SIGTERM when the pod is to stop, SIGKILL at the deadline. Cancelled when every container ended."""
        clock = asyncio.get_running_loop().time
        await self._stopping.wait()
        lifecycle.terminate()
        while (left := self._stop_deadline - clock()) > 0:
            self._changed.clear()
            await first_of(self._changed.wait(), timeout_seconds=left)
        lifecycle.kill()

    async def _report_end(self) -> None:
        if self.run_record is None or self.run_record.ended is None or self.gone:
            return
        if not is_reported(self.pod):
            names = [each["name"] for each in all_containers(self.pod)]
            messages = {name: self._dir.container(name).read_termination_message() for name in names}
            self._status.submit(final_status(self.pod, self.run_record, messages))
            await self._status.flush()
        self._dir.delete_scratch()

    async def _await_deletion(self) -> None:
        """Confirm the deletion of the pod when it is requested: only the node knows that no process is left."""
        await self._until(lambda: self.gone or "deletionTimestamp" in self.pod["metadata"])
        await self._status.delete_pod()
        await self._until(lambda: self.gone)  # A finalizer may delay it.

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


async def _retry_write(write: Callable[[], object]) -> None:
    """Repeat a write until it succeeds: no action may follow from an unwritten line of the journal."""
    while True:
        try:
            write()
        except OSError as error:
            log.error("the node's data directory can't be written: %s; retrying", error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


async def close_orphaned_runs(context: WorkerContext) -> None:
    """Kill what is left of the runs of a node that died, and write their ends. Called before anything is started."""
    for run in [run for run in context.journal.runs.values() if run.ended is None]:
        for container in context.dirs.of(run.pod_uid).containers():
            await kill_remaining_processes(container)
        context.journal.end(run.pod_uid, SIGKILL_EXIT_CODE, "Error", LOST)
        log.warning("%s was lost when the previous node process died", run.pod_name)
