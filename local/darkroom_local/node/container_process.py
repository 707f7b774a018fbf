"""The processes of containers: how one is started, stopped, and known to be gone. Used by the workers.

A container is a process with a session of its own, tied to the node's life (tether.py). What it starts itself is found
by the environment that it inherits: `TMPDIR` lies in the folder of its container.
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

KILLED = 128 + signal.SIGKILL
SETTLE_SECONDS = 0.02
"""How often one looks whether killed processes are gone."""


@dataclass(frozen=True)
class Exit:
    """How a process ended, in the container runtime's words."""

    code: int
    reason: str


class ContainerProcess:
    """One container's process, from its start until nothing of it is left."""

    def __init__(self, process: asyncio.subprocess.Process, folder: ContainerDir) -> None:
        self._process = process
        self._folder = folder
        self._kernel_kills = kernel_kills()
        self._killed_by_us = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self._killed_by_us = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> Exit:
        """The end of the process; what it has left running is killed, and certainly gone when this returns."""
        status = await self._process.wait()
        await kill_remaining_processes(self._folder)
        return Exit(status if status >= 0 else 128 - status, self._reason(status))

    def _reason(self, status: int) -> str:
        if status == 0:
            return "Completed"
        by_kernel = status == -signal.SIGKILL and not self._killed_by_us and kernel_kills() > self._kernel_kills
        return "OOMKilled" if by_kernel else "Error"


async def start(launch: ProcessSpec, pod_folder: PodDir, record: Callable[[int], None]) -> ContainerProcess:
    """Start a container. `record` is called with its pid before the program begins; if it raises, it never does."""
    folder = pod_folder.container(launch.container)
    pod_folder.make(launch.volumes)
    folder.make()
    reader, writer = os.pipe()
    try:
        with folder.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *die_with_parent([launch.program, *launch.arguments], reader),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=launch.environment,
                cwd=folder.tmp,
                start_new_session=True,
                pass_fds=(reader,),
            )
        record(process.pid)
        with contextlib.suppress(BrokenPipeError):  # It died meanwhile: `wait` tells how.
            os.write(writer, b"\n")
    finally:
        os.close(reader)
        os.close(writer)
    return ContainerProcess(process, folder)


async def kill_remaining_processes(folder: ContainerDir) -> None:
    """Kill whatever runs with the environment of this container, until nothing does."""
    while pids := list(_processes_of(folder)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(SETTLE_SECONDS)


def _processes_of(folder: ContainerDir) -> Iterator[int]:
    mark = f"TMPDIR={folder.tmp}\0".encode()
    for entry in Path("/proc").iterdir():
        # A process that is gone, is a zombie, or is somebody else's has no environment to read.
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid() and mark in (entry / "environ").read_bytes():
                yield int(entry.name)


def kernel_kills() -> int:
    """How many processes the kernel has killed for want of memory, ever."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
