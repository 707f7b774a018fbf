"""Starts and stops the process of a container, and finds what it left running. Used by the pod workers.

A container is a process in its own session that dies with the node (parent_death.py). Its descendants are found by the
environment they inherit: `TMPDIR` is in the container's directory.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from darkroom_local.node.pod_dirs import ContainerDir, PodDir
from darkroom_local.node.pod_spec import ProcessSpec
from darkroom_local.processes.parent_death import die_with_parent

SIGKILL_EXIT_CODE = 128 + signal.SIGKILL
POLL_SECONDS = 0.02
"""Between looks for killed processes that still exist."""


@dataclass(frozen=True)
class ProcessExit:
    """How a process ended, in the terms of a container runtime."""

    code: int
    reason: str


class ContainerProcess:
    """The process of one container, until all its descendants are gone."""

    def __init__(self, process: asyncio.subprocess.Process, container_dir: ContainerDir) -> None:
        self._process = process
        self._dir = container_dir
        self._oom_kills_before = oom_kill_count()
        self._killed_by_node = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self._killed_by_node = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> ProcessExit:
        """Wait for the end of the process, then kill its descendants; none is left when this returns."""
        status = await self._process.wait()
        await kill_remaining_processes(self._dir)
        return ProcessExit(status if status >= 0 else 128 - status, self._reason(status))

    def _reason(self, status: int) -> str:
        if status == 0:
            return "Completed"
        oom_killed = (
            status == -signal.SIGKILL and not self._killed_by_node and oom_kill_count() > self._oom_kills_before
        )
        return "OOMKilled" if oom_killed else "Error"


async def start_process(spec: ProcessSpec, pod_dir: PodDir, created: Callable[[int], None]) -> ContainerProcess:
    """Start a container. `created` gets the pid before the program executes; if it raises, the program never does."""
    container_dir = pod_dir.container(spec.container)
    pod_dir.create(spec.volumes)
    container_dir.create()
    reader, writer = os.pipe()
    try:
        with container_dir.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *die_with_parent([spec.program, *spec.arguments], reader),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=spec.environment,
                cwd=container_dir.tmp,
                start_new_session=True,
                pass_fds=(reader,),
            )
        created(process.pid)
        with contextlib.suppress(BrokenPipeError):  # It died already; `wait` returns how.
            os.write(writer, b"\n")
    finally:
        os.close(reader)
        os.close(writer)
    return ContainerProcess(process, container_dir)


async def kill_remaining_processes(container_dir: ContainerDir) -> None:
    """Kill every process with the environment of this container, until none is left."""
    while pids := list(_processes_of(container_dir)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(POLL_SECONDS)


def _processes_of(container_dir: ContainerDir) -> Iterator[int]:
    mark = f"TMPDIR={container_dir.tmp}\0".encode()
    for entry in Path("/proc").iterdir():
        # The environment of a process that is gone, a zombie, or another user's can't be read.
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid() and mark in (entry / "environ").read_bytes():
                yield int(entry.name)


def oom_kill_count() -> int:
    """How many processes the kernel's out-of-memory killer has killed since boot."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
