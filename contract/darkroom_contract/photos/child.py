"""The program of a decoder process: checks one photo after another, within limits that the kernel keeps.

Started by `decoder` as `python -m darkroom_contract.photos.child MEMORY_BYTES CPU_SECONDS`, with a socket as its
standard input. A request is a line of JSON, `{"name": ...}`, with the descriptor of the photo beside it (SCM_RIGHTS);
an answer is a line of JSON (`answer_to`). It ends when the socket closes, and with the thread that started it.
"""

import array
import ctypes
import json
import math
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from darkroom_contract.photos import limits as bounds
from darkroom_contract.photos.errors import PhotoError, UndecodableError
from darkroom_contract.photos.reading import check_photo

READY = b"{}\n"
"""The first line, once the libraries are loaded: the time of a photo counts from here."""

MAX_REQUEST_BYTES = 8192
_MAX_FILES = 64
_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
_FIRST_FOR_THE_OOM_KILLER = "1000"

_MOST_BYTES_PER_PX = 20
"""Measured: WebP takes 16, AVIF with transparent parts 12, everything else less. Some decoders report an allocation
that failed as damage, so above this estimate the two can't be distinguished."""


def main() -> None:
    memory_bytes, cpu_seconds = int(sys.argv[1]), float(sys.argv[2])
    connection = socket.socket(fileno=0)
    _die_with_parent()
    _limit(memory_bytes)
    connection.sendall(READY)
    while (request := _receive(connection)) is not None:
        fd, name = request
        _allow_cpu_seconds(cpu_seconds)
        connection.sendall(json.dumps(answer_to(fd, name, memory_bytes)).encode() + b"\n")


def answer_to(fd: int, name: str, memory_bytes: int) -> dict[str, Any]:
    """`{"properties": {...}}`, `{"error": {...}}`, or `{"memory": ""}` when memory ran out.

    `{"memory": DAMAGE}` says that it is one or the other. `memory_bytes` is the limit of the process. Closes the file.
    """
    try:
        return {"properties": asdict(check_photo(_content(fd), name))}
    except MemoryError:
        return {"memory": ""}
    except UndecodableError as error:
        if "out of memory" in error.reason.lower():
            return {"memory": ""}
        return {"memory": error.problem} if _may_be_memory(error, memory_bytes) else _refusal(error)
    except PhotoError as error:
        return _refusal(error)


def _refusal(error: PhotoError) -> dict[str, Any]:
    return {"error": {"problem": error.problem, "advice": error.advice, "given": error.given}}


def _may_be_memory(error: UndecodableError, memory_bytes: int) -> bool:
    width, height = error.size_px or (0, 0)
    return width * height * _MOST_BYTES_PER_PX > memory_bytes


# --- one request -----------------------------------------------------------------------------------------------------


def _receive(connection: socket.socket) -> tuple[int, str] | None:
    """Descriptor and name of the next photo; None when the parent has closed the socket."""
    descriptors = array.array("i")
    line, ancillary, _, _ = connection.recvmsg(MAX_REQUEST_BYTES, socket.CMSG_SPACE(descriptors.itemsize))
    for _, kind, content in ancillary:
        if kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content)
    if not line or not descriptors:
        return None
    return descriptors[0], str(json.loads(line)["name"])


def _content(fd: int) -> bytes:
    """The whole file. Reads at offsets of its own: the parent shares the descriptor's position."""
    try:
        size, blocks, at = os.fstat(fd).st_size, [], 0
        while at < min(size, bounds.MAX_PHOTO_BYTES):
            block = os.pread(fd, size - at, at)
            if not block:
                break
            blocks.append(block)
            at += len(block)
        return b"".join(blocks) if len(blocks) != 1 else blocks[0]
    finally:
        os.close(fd)


# --- limits ----------------------------------------------------------------------------------------------------------


def _limit(memory_bytes: int) -> None:
    """Memory, no files written, few open, no core dump. Linux keeps them all; other systems may not.

    RLIMIT_DATA counts what the process can write to, threads' stacks included (Linux 4.7, setrlimit(2)). RLIMIT_AS
    would count libraries and reserved addresses too.
    """
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_DATA, memory_bytes),
    ):
        with suppress(ValueError, OSError):  # A lower limit than ours holds already, or the system has none.
            resource.setrlimit(kind, (most, most))


def _allow_cpu_seconds(seconds: float) -> None:
    """From now on. The parent's own deadline comes first; this one holds when the parent stands still."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _die_with_parent() -> None:
    """On Linux at once; elsewhere when the photo in work is done, as the socket is closed then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_FIRST_FOR_THE_OOM_KILLER, encoding="ascii")


if __name__ == "__main__":
    main()
