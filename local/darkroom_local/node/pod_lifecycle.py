"""The containers of one pod, from the first start to the last end, in the order in which a kubelet runs them.

Used by `worker.py`, which says when to stop, and keeps the record. Init containers run one after the other; a sidecar
(an init container with `restartPolicy: Always`) is started in its turn, is started again when it ends, and is ended
after all main containers have. Main containers run side by side, once.
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Protocol

from darkroom_local.kube.client import Json
from darkroom_local.node import container_process, pod_status
from darkroom_local.node.container_process import ContainerProcess
from darkroom_local.node.journal import ContainerEnd
from darkroom_local.node.pod_dirs import PodDir
from darkroom_local.node.pod_spec import ProcessSpec, StartOrder
from darkroom_local.node.pod_status import Observation

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""How long a container that could not be started waits for another try."""
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 60.0
"""Between the starts of a sidecar that ends again and again."""


class LifecycleListener(Protocol):
    """What the worker does at each turn."""

    def begin(self, pid: int) -> None:
        """The pod's first process exists, and has not begun its program. May raise `OSError`: it never will, then."""

    async def container_ended(self, name: str, end: ContainerEnd) -> None:
        """Put it on record, however long that takes."""

    def changed(self) -> None:
        """A state is another."""


class PodLifecycle:
    """One pod's containers."""

    def __init__(
        self, order: StartOrder, process_specs: Mapping[str, ProcessSpec], folder: PodDir, listener: LifecycleListener
    ) -> None:
        self._order, self._specs, self._folder, self._listener = order, process_specs, folder, listener
        first = "PodInitializing" if order.init else "ContainerCreating"
        self.states: dict[str, Json] = {name: pod_status.waiting_state(first) for name in (*order.init, *order.main)}
        self.restarts: dict[str, int] = {}
        self.ends: dict[str, ContainerEnd] = {}
        self.start_ns: int | None = None
        self._processes: dict[str, ContainerProcess] = {}
        self._stopping, self._ending, self._killed = asyncio.Event(), asyncio.Event(), False
        self._sidecars: dict[str, asyncio.Task[None]] = {}

    @property
    def seen(self) -> Observation:
        return Observation(dict(self.states), self.start_ns, dict(self.restarts))

    @property
    def decisive_end(self) -> ContainerEnd | None:
        """That of the first main container, or of the init container that kept it from starting."""
        ended = [name for name in (*self._order.main, *reversed(self._order.init)) if name in self.ends]
        return self.ends[ended[0]] if ended else None

    @property
    def has_ended(self) -> bool:
        """Every main container, and whatever else ran."""
        main = all("terminated" in self.states[name] for name in self._order.main)
        return main and not any("running" in state for state in self.states.values())

    async def run(self, sidecar_grace_seconds: float) -> None:
        """Until nothing of it runs. Sidecars are killed when they have not ended so long after the main containers."""
        try:
            if await self._initialize():
                await asyncio.gather(*(self._run_once(name) for name in self._order.main))
        finally:
            await self._end_sidecars(sidecar_grace_seconds)

    def terminate(self) -> None:
        """SIGTERM to all but the sidecars, which follow; nothing more is started."""
        self._stopping.set()
        for name, process in self._processes.items():
            if name not in self._order.sidecars:
                process.terminate()

    def kill(self) -> None:
        """SIGKILL to all."""
        self._killed = True
        self._stopping.set()
        for process in self._processes.values():
            process.kill()

    def is_over(self, name: str) -> bool:
        """Whether the container has ended for good."""
        return "terminated" in self.states[name] and (name not in self._order.sidecars or self._ending.is_set())

    async def _initialize(self) -> bool:
        """Whether the main containers may start."""
        for name in self._order.init:
            if name in self._order.sidecars:
                running = asyncio.Event()
                self._sidecars[name] = asyncio.create_task(self._keep(name, running), name=f"sidecar-{name}")
                waiting = asyncio.ensure_future(running.wait())
                await asyncio.wait([waiting, self._sidecars[name]], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            else:
                end = await self._run_once(name)
                if end is None or end.exit_code != 0:
                    return False
        return not self._stopping.is_set()

    async def _keep(self, name: str, running: asyncio.Event) -> None:
        """Run a sidecar until the pod's end."""
        backoff = FIRST_BACKOFF_SECONDS
        while not (self._ending.is_set() or self._stopping.is_set()):
            if await self._run_once(name, running) is None or self._ending.is_set() or self._stopping.is_set():
                return
            why = f"back-off {backoff:g}s restarting failed container={name}"
            self._set(name, pod_status.waiting_state("CrashLoopBackOff", why))
            await _wait_for_any(backoff, self._ending, self._stopping)
            backoff = min(2 * backoff, LONGEST_BACKOFF_SECONDS)
            self.restarts[name] = self.restarts.get(name, 0) + 1

    async def _end_sidecars(self, grace_seconds: float) -> None:
        """The last started first, each once the one before has ended."""
        self._ending.set()
        deadline = asyncio.get_running_loop().time() + grace_seconds
        for name, task in reversed(self._sidecars.items()):
            if name in self._processes:
                self._processes[name].terminate()
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            await asyncio.wait([task], timeout=left)
            if not task.done() and name in self._processes:
                self._processes[name].kill()
            await task

    async def _run_once(self, name: str, running: asyncio.Event | None = None) -> ContainerEnd | None:
        """How it ended, or None when the pod was stopped before it could start."""
        process = await self._start(name)
        if process is None:
            return None
        start_ns = time.time_ns()
        self.start_ns = self.start_ns or start_ns
        self._processes[name] = process
        self._set(name, pod_status.running_state(start_ns))
        if running is not None:
            running.set()
        if self._killed:
            process.kill()
        elif self._ending.is_set() or (self._stopping.is_set() and name not in self._order.sidecars):
            process.terminate()
        exit_ = await process.wait()
        del self._processes[name]
        end = self.ends[name] = ContainerEnd(exit_.code, exit_.reason, start_ns, time.time_ns())
        log.info("container %s ended with %d (%s)", name, end.exit_code, end.reason)
        await self._listener.container_ended(name, end)
        self._set(name, pod_status.terminated_state(end, self._folder.container(name).read_termination_message()))
        return end

    async def _start(self, name: str) -> ContainerProcess | None:
        while not (self._stopping.is_set() or (self._ending.is_set() and name in self._order.sidecars)):
            try:
                return await container_process.start(self._specs[name], self._folder, self._listener.begin)
            except (OSError, ValueError) as error:  # A full disk, a variable too large for the kernel or with a NUL.
                why = f"{self._specs[name].program} can't be started: {error}"
                log.warning("container %s waits: %s", name, why)
                self._set(name, pod_status.waiting_state("CreateContainerError", why))
                await _wait_for_any(RETRY_SECONDS, self._stopping, self._ending)
        return None

    def _set(self, name: str, state: Json) -> None:
        self.states[name] = state
        self._listener.changed()


async def _wait_for_any(timeout_seconds: float, *events: asyncio.Event) -> None:
    waits: list[asyncio.Task[bool]] = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
