"""Starts, probes, restarts and stops child processes. Used by `cluster/local_cluster.py`.

Owns one thread with an event loop, from which every child is started: a child is killed when the thread that started it
ends (parent_death.py). Each child has its own log file and its own session, so Ctrl-C reaches only the parent, which
then stops the children in order. A child that exits is restarted with exponential backoff; one that fails its liveness
probe is killed first, as a kubelet does.
"""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from darkroom_local.backoff import ExponentialBackoff
from darkroom_local.errors import StartFailedError
from darkroom_local.processes.parent_death import die_with_parent
from darkroom_local.processes.probes import Probe

T = TypeVar("T")

FIRST_RESTART_SECONDS = 0.5
LONGEST_RESTART_SECONDS = 15.0
STEADY_SECONDS = 60.0
"""A child that ran this long is restarted without the backoff of earlier exits."""
PROBE_INTERVAL_SECONDS = 0.05
LIVENESS_FAILURES = 3
"""Consecutive failures of the liveness probe before a child is killed; the kubelet's default failureThreshold."""
MAX_STARTS_BEFORE_READY = 3
"""A child that exits this often without having been ready fails the start."""
LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class Program:
    """What to run as a child, and its probes."""

    name: str
    command: Sequence[str]
    ready: Probe
    environment: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of the child; nothing is inherited."""
    alive: Probe | None = None
    """Liveness probe. Failures count after its first success, so a slow start is not mistaken for a hang."""
    alive_every_seconds: float = 10.0
    ready_within_seconds: float = 120.0
    stop_grace_seconds: float = 10.0


class Child:
    """A program and its current process. All methods run on the supervisor's event loop."""

    def __init__(self, program: Program, log_path: Path) -> None:
        self.program = program
        self.log_path = log_path
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0
        self.was_ready = False
        self._restart_loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process and keep it running; returns when it is ready. Raises `StartFailedError`."""
        self._restart_loop = asyncio.create_task(self._keep_running(), name=f"restart-{self.program.name}")
        try:
            async with asyncio.timeout(self.program.ready_within_seconds):
                while not await self.program.ready():
                    if self._restart_loop.done():
                        raise StartFailedError(self._failure_message(f"exited {self.starts} times before it was ready"))
                    await asyncio.sleep(PROBE_INTERVAL_SECONDS)
        except TimeoutError as error:
            problem = f"was not ready after {self.program.ready_within_seconds:.0f} s"
            raise StartFailedError(self._failure_message(problem)) from error
        self.was_ready = True

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to its session after the grace period."""
        if self._restart_loop is not None:
            self._restart_loop.cancel()
            await asyncio.gather(self._restart_loop, return_exceptions=True)
        process = self.process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.program.stop_grace_seconds):
                    await process.wait()
        _kill_session(process.pid)
        await process.wait()

    def kill(self) -> None:
        """SIGKILL to its session, without a restart."""
        if self._restart_loop is not None:
            self._restart_loop.cancel()
        if self.process is not None and self.process.returncode is None:
            _kill_session(self.process.pid)

    async def _keep_running(self) -> None:
        backoff = ExponentialBackoff(FIRST_RESTART_SECONDS, LONGEST_RESTART_SECONDS)
        while self.was_ready or self.starts < MAX_STARTS_BEFORE_READY:
            began = time.monotonic()
            await self._run_once()
            if time.monotonic() - began > STEADY_SECONDS:
                backoff.reset()
            await backoff.wait()

    async def _run_once(self) -> None:
        self.starts += 1
        with self.log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *die_with_parent(self.program.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.program.environment),
                start_new_session=True,
            )
        liveness = asyncio.create_task(self._kill_when_stuck(self.process.pid))
        try:
            code = await self.process.wait()
        finally:
            liveness.cancel()
        _kill_session(self.process.pid)
        self._write_log_line(f"exited with {code}")

    async def _kill_when_stuck(self, pid: int) -> None:
        if (alive := self.program.alive) is None:
            return
        was_alive, failures = False, 0
        while failures < LIVENESS_FAILURES:
            await asyncio.sleep(self.program.alive_every_seconds)
            is_alive = await alive()
            was_alive = was_alive or is_alive
            failures = 0 if is_alive else failures + was_alive
        self._write_log_line(f"failed its liveness probe {failures} times and is killed")
        _kill_session(pid)

    def _write_log_line(self, text: str) -> None:
        with self.log_path.open("a", encoding="utf-8") as log:
            log.write(f"--- {self.program.name} {text}\n")

    def _failure_message(self, problem: str) -> str:
        tail = log_tail(self.log_path)
        return f"{self.program.name} {problem}. The end of {self.log_path}:\n{tail}"


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log file, for an error message."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def _kill_session(leader_pid: int) -> None:
    """SIGKILL to a process group, including what its leader left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader_pid, signal.SIGKILL)


class Supervisor:
    """The child processes of one local cluster. Its methods may be called from any thread."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._children: dict[str, Child] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, *programs: Program) -> None:
        """Start programs in parallel and wait until all are ready. Raises `StartFailedError`."""
        for future in [self.start_in_background(program) for program in programs]:
            future.result()

    def start_in_background(self, program: Program) -> "Future[None]":
        """Start one program. The future completes when it is ready, or fails with `StartFailedError`."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        child = Child(program, self._log_dir / f"{program.name}.log")
        self._children[program.name] = child
        return asyncio.run_coroutine_threadsafe(child.start(), self._loop)

    def stop(self) -> None:
        """Stop every child in reverse order of start, and end the thread. Does nothing when stopped already."""
        if self._loop.is_closed():
            return
        for name in reversed(list(self._children)):
            self.call(self._children.pop(name).stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kill(self) -> None:
        """SIGKILL every child at once, without restarts. The caller must still call `stop`."""
        self.call(self._kill())

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the supervisor's event loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop_one(self, name: str) -> None:
        """Stop one child and do not restart it."""
        self.call(self._children.pop(name).stop())

    def pid(self, name: str) -> int:
        """The process id of a running child. Raises `LookupError` while it has no process."""
        process = self._children[name].process
        if process is None or process.returncode is not None:
            raise LookupError(f"{name} is not running")
        return process.pid

    def pids(self) -> dict[str, int]:
        """The process ids of all running children, by name."""
        running = {name: child.process for name, child in self._children.items()}
        return {name: each.pid for name, each in running.items() if each is not None and each.returncode is None}

    def log_path(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"

    async def _kill(self) -> None:
        for child in self._children.values():
            child.kill()
