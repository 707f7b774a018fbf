"""Runs the containers of one pod in the order of a kubelet. Used by `pod_worker.py`, which decides when to stop.

Init containers run one after the other. A sidecar (an init container with `restartPolicy: Always`) is started in its
turn, restarted when it exits, and stopped after all main containers ended. Main containers run in parallel, once.
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Protocol

from darkroom_local.backoff import ExponentialBackoff
from darkroom_local.kube.client import Json
from darkroom_local.node.container_process import ContainerProcess, start_process
from darkroom_local.node.journal import ContainerEnd
from darkroom_local.node.pod_dirs import PodDir
from darkroom_local.node.pod_spec import ProcessSpec, StartOrder
from darkroom_local.node.pod_status import Observation, running_state, terminated_state, waiting_state
from darkroom_local.node.waiting import first_of

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""Between attempts to start a container."""
FIRST_RESTART_SECONDS = 1.0
LONGEST_RESTART_SECONDS = 60.0
"""Between restarts of a sidecar."""


class LifecycleListener(Protocol):
    """Reacts to the steps of a pod's lifecycle; implemented by the pod worker."""

    def process_created(self, pid: int) -> None:
        """A process exists, but does not execute its program yet. If this raises `OSError`, it never does."""

    async def container_ended(self, name: str, end: ContainerEnd) -> None:
        """Write the end to the journal, however long that takes."""

    def state_changed(self) -> None:
        """The state of a container changed."""


class PodLifecycle:
    """The containers of one pod, from the first start to the last end."""

    def __init__(
        self, order: StartOrder, specs: Mapping[str, ProcessSpec], pod_dir: PodDir, listener: LifecycleListener
    ) -> None:
        self._order, self._specs, self._dir, self._listener = order, specs, pod_dir, listener
        first = "PodInitializing" if order.init else "ContainerCreating"
        self.states: dict[str, Json] = {name: waiting_state(first) for name in (*order.init, *order.main)}
        self.restarts: dict[str, int] = {}
        self.ends: dict[str, ContainerEnd] = {}
        self.start_ns: int | None = None
        self._processes: dict[str, ContainerProcess] = {}
        self._stopping, self._ending, self._killed = asyncio.Event(), asyncio.Event(), False
        self._sidecars: dict[str, asyncio.Task[None]] = {}

    @property
    def observation(self) -> Observation:
        return Observation(dict(self.states), self.start_ns, dict(self.restarts))

    @property
    def decisive_end(self) -> ContainerEnd | None:
        """The end of the first main container, or of the init container that kept it from starting."""
        ended = [name for name in (*self._order.main, *reversed(self._order.init)) if name in self.ends]
        return self.ends[ended[0]] if ended else None

    @property
    def has_ended(self) -> bool:
        """Whether every main container ended and nothing else runs."""
        main = all("terminated" in self.states[name] for name in self._order.main)
        return main and not any("running" in state for state in self.states.values())

    async def run(self, sidecar_grace_seconds: float) -> None:
        """Run until no process is left. Sidecars have the grace period to end after the main containers."""
        try:
            if await self._run_init_containers():
                await asyncio.gather(*(self._run_once(name) for name in self._order.main))
        finally:
            await self._stop_sidecars(sidecar_grace_seconds)

    def terminate(self) -> None:
        """SIGTERM to every container except sidecars, which are stopped last. Nothing more is started."""
        self._stopping.set()
        for name, process in self._processes.items():
            if name not in self._order.sidecars:
                process.terminate()

    def kill(self) -> None:
        """SIGKILL to every container."""
        self._killed = True
        self._stopping.set()
        for process in self._processes.values():
            process.kill()

    def is_over(self, name: str) -> bool:
        """Whether the container ended and will not be restarted."""
        return "terminated" in self.states[name] and (name not in self._order.sidecars or self._ending.is_set())

    async def _run_init_containers(self) -> bool:
        """Whether the main containers may start."""
        for name in self._order.init:
            if name in self._order.sidecars:
                await self._start_sidecar(name)
            else:
                end = await self._run_once(name)
                if end is None or end.exit_code != 0:
                    return False
        return not self._stopping.is_set()

    async def _start_sidecar(self, name: str) -> None:
        """Returns when the sidecar runs, or when the pod was stopped first."""
        running = asyncio.Event()
        self._sidecars[name] = asyncio.create_task(self._run_sidecar(name, running), name=f"sidecar-{name}")
        await first_of(running.wait(), asyncio.shield(self._sidecars[name]))

    async def _run_sidecar(self, name: str, running: asyncio.Event) -> None:
        """Run a sidecar, with restarts, until the pod ends."""
        backoff = ExponentialBackoff(FIRST_RESTART_SECONDS, LONGEST_RESTART_SECONDS)
        while not (self._ending.is_set() or self._stopping.is_set()):
            if await self._run_once(name, running) is None or self._ending.is_set() or self._stopping.is_set():
                return
            delay = backoff.next_seconds()
            message = f"back-off {delay:g}s restarting failed container={name}"
            self._set_state(name, waiting_state("CrashLoopBackOff", message))
            await self._wait_until_stopped(delay)
            self.restarts[name] = self.restarts.get(name, 0) + 1

    async def _stop_sidecars(self, grace_seconds: float) -> None:
        """In reverse order of their starts, one after the other."""
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
        """Run a container to its end; None when the pod was stopped before it started."""
        process = await self._start(name)
        if process is None:
            return None
        start_ns = time.time_ns()
        self.start_ns = self.start_ns or start_ns
        self._processes[name] = process
        self._set_state(name, running_state(start_ns))
        if running is not None:
            running.set()
        if self._killed:
            process.kill()
        elif self._ending.is_set() or (self._stopping.is_set() and name not in self._order.sidecars):
            process.terminate()
        exited = await process.wait()
        del self._processes[name]
        end = self.ends[name] = ContainerEnd(exited.code, exited.reason, start_ns, time.time_ns())
        log.info("container %s ended with exit code %d (%s)", name, end.exit_code, end.reason)
        await self._listener.container_ended(name, end)
        self._set_state(name, terminated_state(end, self._dir.container(name).read_termination_message()))
        return end

    async def _start(self, name: str) -> ContainerProcess | None:
        while not (self._stopping.is_set() or (self._ending.is_set() and name in self._order.sidecars)):
            try:
                return await start_process(self._specs[name], self._dir, self._listener.process_created)
            except (OSError, ValueError) as error:  # A full disk; a variable that is too long or contains NUL.
                message = f"{self._specs[name].program} can't be started: {error}"
                log.warning("container %s: %s; retrying", name, message)
                self._set_state(name, waiting_state("CreateContainerError", message))
                await self._wait_until_stopped(RETRY_SECONDS)
        return None

    async def _wait_until_stopped(self, timeout_seconds: float) -> None:
        await first_of(self._stopping.wait(), self._ending.wait(), timeout_seconds=timeout_seconds)

    def _set_state(self, name: str, state: Json) -> None:
        self.states[name] = state
        self._listener.state_changed()
