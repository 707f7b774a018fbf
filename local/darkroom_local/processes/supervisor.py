"""Starts, watches and stops the programs of the local cluster. Used by cluster.py alone.

Owns one thread with an event loop that starts every child, since a child is killed when the thread that started it
ends (tether.py). Each child has a session of its own, so that Ctrl-C reaches only us and we stop them in order, and a
log file of its own. One that exits unexpectedly is started again after a growing wait; one that is stuck is killed
first, as a kubelet does.
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

from darkroom_local.errors import StartFailedError
from darkroom_local.processes.parent_death import die_with_parent
from darkroom_local.processes.probes import Probe

T = TypeVar("T")

FIRST_RESTART_SECONDS = 0.5
LONGEST_RESTART_SECONDS = 15.0
STEADY_SECONDS = 60.0
"""A child that ran this long is restarted without the waits that it earned before."""
PROBE_INTERVAL_SECONDS = 0.05
FAILURES_BEFORE_STUCK = 3
"""In a row, as a kubelet has it."""
STARTS_BEFORE_READY = 3
"""A child that exits this often without ever having been ready fails the start."""
LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class Program:
    """One child: what is run, and how one sees that it is ready."""

    name: str
    command: Sequence[str]
    ready: Probe
    environment: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of the child; nothing is inherited."""
    alive: Probe | None = None
    """Asked now and then once it has said yes; a child for which it says no again and again is killed."""
    alive_every_seconds: float = 10.0
    ready_within_seconds: float = 120.0
    stop_grace_seconds: float = 10.0


class Child:
    """A program and its present process. Lives on the supervisor's loop."""

    def __init__(self, program: Program, log_path: Path) -> None:
        self.program = program
        self.log_path = log_path
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0
        self.was_ready = False
        self._restarts: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process and keep it running; returns once it is ready. Raises `StartFailedError`."""
        self._restarts = asyncio.create_task(self._keep(), name=f"keep-{self.program.name}")
        try:
            async with asyncio.timeout(self.program.ready_within_seconds):
                while not await self.program.ready():
                    if self._restarts.done():
                        raise StartFailedError(self._account("exited again and again"))
                    await asyncio.sleep(PROBE_INTERVAL_SECONDS)
        except TimeoutError as error:
            problem = f"was not ready after {self.program.ready_within_seconds:.0f} s"
            raise StartFailedError(self._account(problem)) from error
        self.was_ready = True

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to its whole session after the grace."""
        if self._restarts is not None:
            self._restarts.cancel()
            await asyncio.gather(self._restarts, return_exceptions=True)
        process = self.process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self.program.stop_grace_seconds)
        _kill_session(process.pid)
        await process.wait()

    def kill(self) -> None:
        """SIGKILL to its whole session, and no restart."""
        if self._restarts is not None:
            self._restarts.cancel()
        if self.process is not None and self.process.returncode is None:
            _kill_session(self.process.pid)

    async def _keep(self) -> None:
        wait_seconds = FIRST_RESTART_SECONDS
        while self.was_ready or self.starts < STARTS_BEFORE_READY:
            began = time.monotonic()
            await self._run_once()
            if time.monotonic() - began > STEADY_SECONDS:
                wait_seconds = FIRST_RESTART_SECONDS
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_RESTART_SECONDS)

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
        with self.log_path.open("a", encoding="utf-8") as log_text:
            log_text.write(f"--- {self.program.name} exited with {code}\n")

    async def _kill_when_stuck(self, pid: int) -> None:
        """Failures count once there was a success: a slow start is not a stuck one."""
        if (alive := self.program.alive) is None:
            return
        was_alive, failures = False, 0
        while failures < FAILURES_BEFORE_STUCK:
            await asyncio.sleep(self.program.alive_every_seconds)
            is_alive = await alive()
            was_alive = was_alive or is_alive
            failures = 0 if is_alive else failures + was_alive
        with self.log_path.open("a", encoding="utf-8") as log_text:
            log_text.write(f"--- {self.program.name} is stuck and is killed\n")
        _kill_session(pid)

    def _account(self, problem: str) -> str:
        tail = log_tail(self.log_path)
        return f"{self.program.name} {problem}. The end of {self.log_path}:\n{tail}"


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, for a message to people."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def _kill_session(leader_pid: int) -> None:
    """Kill what a process left behind in its group."""
    try:
        os.killpg(leader_pid, signal.SIGKILL)
    except ProcessLookupError:
        return


class Supervisor:
    """The children of one local cluster. Its methods may be called from any thread."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._children: dict[str, Child] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, *programs: Program) -> None:
        """Start programs side by side and wait until each is ready. Raises `StartFailedError`."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for future in [self.begin(program) for program in programs]:
            future.result()

    def begin(self, program: Program) -> "Future[None]":
        """Start one program; the future is done when it is ready, or holds `StartFailedError`."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        child = Child(program, self._log_dir / f"{program.name}.log")
        self._children[program.name] = child
        return asyncio.run_coroutine_threadsafe(child.start(), self._loop)

    def stop(self) -> None:
        """Stop every child, the last started first, and end the thread. May be called twice."""
        if self._loop.is_closed():
            return
        for name in reversed(list(self._children)):
            self._call(self._children.pop(name).stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kill(self) -> None:
        """SIGKILL every child at once and start none again; `stop` is still to be called."""
        self._call(self._kill())

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something of the caller's on the supervisor's loop, and wait for it."""
        return self._call(work)

    def stop_one(self, name: str) -> None:
        """Stop one child for good."""
        self._call(self._children.pop(name).stop())

    def pid(self, name: str) -> int:
        """The process id of a running child. Raises `LookupError` while it has no process."""
        process = self._children[name].process
        if process is None or process.returncode is not None:
            raise LookupError(f"{name} is not running at the moment")
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

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
