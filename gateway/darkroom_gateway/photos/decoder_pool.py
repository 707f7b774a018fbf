"""Pool of photo decoder processes with fair scheduling between uploads. Used by photos/upload_validator.py.

A photo is decoded in a child process (`darkroom_contract.photos.decoder`), which is killed when it exceeds its limits
of memory or time, or when its upload is cancelled. Uploads share the processes fairly: no upload uses all of them, and
the next free process goes to the upload that has used the least time."""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from anyio import CancelScope, CapacityLimiter, to_thread

from darkroom_contract.photos.decoder import (
    MAX_ANSWER_BYTES,
    START_SECONDS,
    DecoderDiedError,
    DecoderUnavailableError,
    DecodingLimits,
    PhotoDecoder,
    read_answer,
    too_slow,
)
from darkroom_contract.photos.errors import PhotoError, PhotoLimitError, PhotoProperties

log = logging.getLogger(__name__)


@dataclass(eq=False)
class UploadUsage:
    """The decoder time that an upload has used."""

    seconds: float = 0.0
    """Total seconds of decoding."""


@dataclass(eq=False)
class _Waiter:
    usage: UploadUsage
    number: int
    turn: asyncio.Event = field(default_factory=asyncio.Event)


class FairQueue:
    """Grants slots by least used time, then in order of arrival."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def turn(self, usage: UploadUsage) -> AsyncIterator[None]:
        """Hold a slot. The time is added to the usage."""
        await self._acquire(usage)
        begun = time.monotonic()
        try:
            yield
        finally:
            usage.seconds += time.monotonic() - begun
            self._release()

    async def _acquire(self, usage: UploadUsage) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        waiter = _Waiter(usage, next(self._numbers))
        self._waiting.append(waiter)
        try:
            await waiter.turn.wait()
        except asyncio.CancelledError:
            if waiter.turn.is_set():
                self._release()
            else:
                self._waiting.remove(waiter)
            raise

    def _release(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        chosen = min(self._waiting, key=lambda each: (each.usage.seconds, each.number))
        self._waiting.remove(chosen)
        chosen.turn.set()


class DecoderPool:
    """Up to `count` decoder processes, started when they are first needed."""

    def __init__(self, count: int, limits: DecodingLimits) -> None:
        self._limits = limits
        self._turns = FairQueue(count)
        self._idle: list[PhotoDecoder] = []
        self._busy: set[PhotoDecoder] = set()
        self._ends = CapacityLimiter(count)
        self.share = max(1, count - 1)
        """Number of processes that one upload may use concurrently."""

    async def check(self, fd: int, name: str, usage: UploadUsage) -> PhotoProperties:
        """Decode the photo of an open file; `name` is for messages. Cancelling kills the decoder process.

        Raises `PhotoError`, and `DecoderUnavailableError` when no process can be started.
        """
        async with self._turns.turn(usage):
            decoder = await self._take()
            try:
                properties = await self._ask(decoder, fd, name)
            except PhotoError as error:
                if isinstance(error, PhotoLimitError):
                    await self._end(decoder)
                else:
                    await self._give_back(decoder)
                raise
            except BaseException:
                await self._end(decoder)
                raise
            await self._give_back(decoder)
            return properties

    async def close(self) -> None:
        """Stop all processes. Waiting callers get a `PhotoLimitError`."""
        for decoder in self._busy:
            decoder.stop()
        while self._idle:
            await self._end(self._idle.pop())

    async def _take(self) -> PhotoDecoder:
        while self._idle:
            decoder = self._idle.pop()
            if not decoder.is_worn:
                self._busy.add(decoder)
                return decoder
            await self._end(decoder)
        # Started on this thread, because a decoder dies with the thread that started it.
        decoder = PhotoDecoder(self._limits)
        self._busy.add(decoder)
        try:
            async with asyncio.timeout(START_SECONDS):
                await _line(decoder)
        except (TimeoutError, DecoderDiedError):
            await self._end(decoder)
            raise DecoderUnavailableError("A decoder process did not start.") from None
        except BaseException:
            await self._end(decoder)
            raise
        return decoder

    async def _give_back(self, decoder: PhotoDecoder) -> None:
        if decoder.is_worn:
            await self._end(decoder)
            return
        self._busy.discard(decoder)
        self._idle.append(decoder)

    async def _end(self, decoder: PhotoDecoder) -> None:
        """Kill a process, and wait until its memory is free before another one starts."""
        with CancelScope(shield=True):
            await to_thread.run_sync(decoder.kill, limiter=self._ends)
        self._busy.discard(decoder)

    async def _ask(self, decoder: PhotoDecoder, fd: int, name: str) -> PhotoProperties:
        try:
            decoder.request(fd, name)
            log.debug("decoding %r in process %d", name, decoder.pid)
            async with asyncio.timeout(self._limits.seconds):
                line = await _line(decoder)
            return read_answer(line, name, self._limits)
        except TimeoutError:
            log.warning("killed a decoder after %g s: %r", self._limits.seconds, name)
            raise too_slow(name, self._limits) from None
        except DecoderDiedError:
            await self._end(decoder)
            failure = decoder.failure(name)
            log.warning("a decoder exited: %r %s", name, failure.problem)
            raise failure from None
        except PhotoLimitError as error:
            log.warning("stopped a decoder: %r %s", name, error.problem)
            raise


async def _line(decoder: PhotoDecoder) -> bytes:
    """The next response. Raises `DecoderDiedError` when the process exits first."""
    loop, line = asyncio.get_running_loop(), b""
    while not line.endswith(b"\n"):
        try:
            block = await loop.sock_recv(decoder.connection, MAX_ANSWER_BYTES)
        except ConnectionError:
            block = b""
        line += block
        if not block or len(line) > MAX_ANSWER_BYTES:
            raise DecoderDiedError
    return line
