"""A child process that decodes photos, so that a photo can't exhaust the memory or time of the program, or crash it.

The gateway keeps a pool of them (`darkroom_gateway.photos.decoder_pool`), a run has one while it checks its photos.
`child`
is the program. No image library is imported here.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from typing import Any

from darkroom_contract.photos import limits as bounds
from darkroom_contract.photos.errors import PhotoError, PhotoLimitError, PhotoProperties

MAX_ANSWER_BYTES = 64 * 1024
START_SECONDS = 60.0
"""To load the libraries: 0.1 s on an idle machine."""

MAX_PHOTOS_EACH = 200
"""Photos after which a process is replaced, so that nothing a codec leaks adds up."""

_INHERITED = ("LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH")
"""All that a decoder gets of the environment: no credentials, no settings."""

_ADVICE = "Save it smaller, or as a JPEG."


class DecoderUnavailableError(Exception):
    """A decoder process can't be started. Says nothing about any photo."""


class DecoderDiedError(Exception):
    """The process ended, or answered nonsense, while it had a photo."""


@dataclass(frozen=True)
class DecodingLimits:
    """What one photo may take."""

    memory_bytes: int
    """Of the whole process: its libraries take 15 MB of it."""
    seconds: float
    """Of elapsed time. As many seconds of CPU time on each core are the second limit."""

    @property
    def cpu_seconds(self) -> float:
        return self.seconds * min(os.cpu_count() or 1, 8)


class PhotoDecoder:
    """One decoder process, for one photo at a time.

    Starting one takes 2 ms and may fail with `DecoderUnavailableError`. On Linux the process dies with the *thread*
    that started it (prctl(2)), so start it from one that lives as long as the decoder is used.
    """

    def __init__(self, limits: DecodingLimits) -> None:
        self.limits = limits
        self.photos = 0
        """That were given to it."""
        try:
            self.connection, theirs = socket.socketpair()
        except OSError as error:
            raise _unavailable(error) from error
        self.connection.setblocking(False)
        module = "darkroom_contract.photos.child"
        command = [sys.executable, "-P", "-m", module, str(limits.memory_bytes), str(limits.cpu_seconds)]
        try:
            with theirs:
                self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 (nothing in it is a user's)
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=_environment(),
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as error:
            self.connection.close()
            raise _unavailable(error) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_worn(self) -> bool:
        """Whether another one should take its place."""
        return self.photos >= MAX_PHOTOS_EACH or self._process.poll() is not None

    def request(self, fd: int, name: str) -> None:
        """Hand over a photo, without waiting. The answer comes as a line from `connection`; see `read_answer`."""
        self.photos += 1
        try:
            socket.send_fds(self.connection, [json.dumps({"name": bounds.short_name(name)}).encode()], [fd])
        except ConnectionError:
            raise DecoderDiedError from None

    def stop(self) -> None:
        """Kill it, whatever it does. A caller that waits for its answer finds the end of `connection`."""
        self._process.kill()

    def kill(self) -> None:
        """Kill it and wait until its memory is free. Nobody may wait for its answer. Harmless when it has ended."""
        self._process.kill()
        self._process.wait()
        self.connection.close()

    def failure(self, name: str) -> PhotoLimitError:
        """Why a photo's answer never came, once the process was killed or died."""
        code = self._process.returncode
        if code == -signal.SIGXCPU:
            return too_slow(name, self.limits)
        end = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return PhotoLimitError(name, f"made its decoder fail ({end})", "Open it and save it again as a JPEG.")

    def check(self, fd: int, name: str) -> PhotoProperties:
        """Hand over a photo and wait for the answer: for a process that has nothing else to do.

        Raises `PhotoError`, and `DecoderUnavailableError`. After a `PhotoLimitError` the decoder is ended.
        """
        try:
            if self.photos == 0:
                self._line(START_SECONDS)
        except (DecoderDiedError, TimeoutError):
            self.kill()
            raise DecoderUnavailableError("The decoder of photos does not start.") from None
        try:
            self.request(fd, name)
            return read_answer(self._line(self.limits.seconds), name, self.limits)
        except PhotoLimitError:
            self.kill()
            raise
        except TimeoutError:
            self.kill()
            raise too_slow(name, self.limits) from None
        except DecoderDiedError:
            self.kill()
            raise self.failure(name) from None

    def _line(self, seconds: float) -> bytes:
        end, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            if not select.select([self.connection], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError
            try:
                block = self.connection.recv(MAX_ANSWER_BYTES)
            except ConnectionError:
                block = b""
            line += block
            if not block or len(line) > MAX_ANSWER_BYTES:
                raise DecoderDiedError
        return line


def read_answer(line: bytes, name: str, limits: DecodingLimits) -> PhotoProperties:
    """What a decoder says about a photo. Raises `PhotoError`, and `DecoderDiedError` for what is no answer.

    A codec that was taken over by a photo may say anything, so everything is checked.
    """
    try:
        answer: dict[str, Any] = json.loads(line)
        if "memory" in answer:
            raise _too_large(name, limits, str(answer["memory"]))
        if "error" in answer:
            error = answer["error"]
            given = error["given"]
            raise PhotoError(name, str(error["problem"]), str(error["advice"]), None if given is None else str(given))
        return _properties(answer["properties"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DecoderDiedError from None


def _unavailable(error: OSError) -> DecoderUnavailableError:
    return DecoderUnavailableError(f"A decoder process can't be started: {error.strerror}.")


def too_slow(name: str, limits: DecodingLimits) -> PhotoLimitError:
    return PhotoLimitError(name, f"takes longer to decode than the {limits.seconds:g} s that a photo may", _ADVICE)


def _too_large(name: str, limits: DecodingLimits, damage: str) -> PhotoLimitError:
    problem = f"takes more memory to decode than the {limits.memory_bytes // 1024**2} MiB that a photo may"
    return PhotoLimitError(name, f"{problem}, or {damage}" if damage else problem, _ADVICE)


def _properties(found: dict[str, Any]) -> PhotoProperties:
    width, height = (int(side) for side in found["size_px"])
    properties = PhotoProperties(
        **{**{each.name: found[each.name] for each in fields(PhotoProperties)}, "size_px": (width, height)}
    )
    space = properties.converted_from
    if properties.extension not in bounds.FORMATS.values() or not (space is None or isinstance(space, str)):
        raise ValueError
    return properties


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # glibc raises its threshold for blocks that go back to the system with every large block; a fixed one keeps an idle
    # decoder small.
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_MMAP_THRESHOLD_": str(1024**2), "MALLOC_ARENA_MAX": "2"}
