"""Bounds the memory of pictures in base64, from the time before an answer is built until its client has read it.

Used by openai_images/results.py and stream.py.

A slow client keeps its answer in memory: without a bound, many of them would end the gateway. What a client has read is
free again, block by block of a JSON answer and picture by picture of a stream. A client that reads too slowly is
disconnected. An answer that finds no space waits, first come first served, except that one API key never takes more
than half.
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from darkroom_gateway.errors import UnavailableError
from darkroom_gateway.http.disconnect import disconnect

log = logging.getLogger(__name__)

MAX_HELD_BYTES = 256 * 1024**2
"""Of all answers of one gateway, in base64."""
WAIT_SECONDS = 30.0
"""How long an answer waits for space."""
MIN_WAIT_SECONDS = 2.0
"""Also when the job has taken almost all of the time that its request waits."""
BLOCK_BYTES = 256 * 1024
"""Bytes of an answer that are given to the connection at once."""
SLOW_SECONDS = 60.0
"""A part of an answer that takes longer must be read at `MIN_BYTES_PER_SECOND` on average."""
MIN_BYTES_PER_SECOND = 128 * 1024
"""1 Mbit/s. The largest answer then takes 12 minutes."""


class TooManyAnswersError(UnavailableError):
    """Clients read their pictures slower than others ask for them."""

    title = "Too many pictures at once"
    retry_after_seconds = 10


class SlowReaderError(Exception):
    """A client reads its pictures too slowly. Nothing can be sent to it: its response has begun."""


@dataclass(eq=False)
class Held:
    """Memory that is reserved for one answer."""

    client: str | None
    size_bytes: int
    given: asyncio.Event


class HeldAnswers:
    """The answers of one gateway that are being built or sent. Used on the event loop only."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES, wait_seconds: float = WAIT_SECONDS) -> None:
        self._max_bytes = max_bytes
        self._wait_seconds = wait_seconds
        self._held_bytes = 0
        self._by_client: Counter[str] = Counter()
        self._waiting: deque[Held] = deque()

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    async def hold(
        self, picture_bytes: int, job_name: str, client: str | None, left_seconds: float = WAIT_SECONDS
    ) -> Held:
        """Reserve memory for pictures of this size; the caller must `release` it. `client` is the name of the API key.

        Raises `TooManyAnswersError` when there is no space within `wait_seconds`, or within the time that is left to
        the request.
        """
        wait_seconds = min(self._wait_seconds, max(MIN_WAIT_SECONDS, left_seconds))
        held = Held(client, -(-picture_bytes // 3) * 4, asyncio.Event())
        self._waiting.append(held)
        self._give()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await held.given.wait()
        except asyncio.CancelledError:
            self._leave(held)
            raise
        if not held.given.is_set():
            self._leave(held)
            raise TooManyAnswersError(
                "This gateway is sending too many pictures to slow clients. Try again in a moment, or use "
                f"response_format url. The pictures of the job {job_name} are kept: see /v1/jobs/{job_name}."
            )
        return held

    def release(self, held: Held, size_bytes: int | None = None) -> None:
        """Free a part of what is held; all that is left without a size."""
        freed = held.size_bytes if size_bytes is None else min(size_bytes, held.size_bytes)
        held.size_bytes -= freed
        self._held_bytes -= freed
        if held.client is not None:
            self._by_client[held.client] -= freed
            if not self._by_client[held.client]:
                del self._by_client[held.client]
        self._give()

    @contextlib.asynccontextmanager
    async def holding(self, picture_bytes: int, job_name: str, client: str | None) -> AsyncIterator[None]:
        """Hold within the block. Raises `TooManyAnswersError`."""
        held = await self.hold(picture_bytes, job_name, client)
        try:
            yield
        finally:
            self.release(held)

    def _leave(self, held: Held) -> None:
        """It may have been given space in the same turn of the event loop."""
        if held.given.is_set():
            self.release(held)
        else:
            self._waiting.remove(held)
            self._give()

    def _give(self) -> None:
        """Give space to those that have waited longest, and pass over clients that have their share."""
        for each in list(self._waiting):
            if not self._fits_share(each):
                continue
            if self._held_bytes + each.size_bytes > self._max_bytes:
                return
            self._waiting.remove(each)
            self._held_bytes += each.size_bytes
            if each.client is not None:
                self._by_client[each.client] += each.size_bytes
            each.given.set()

    def _fits_share(self, held: Held) -> bool:
        """Without API keys the gateway does not know its clients."""
        if held.client is None or not self._by_client[held.client]:
            return True
        return self._by_client[held.client] + held.size_bytes <= self._max_bytes // 2


class HeldResponse(Response):
    """An answer that is sent block by block. Each block is free as soon as the client has read it."""

    def __init__(self, blocks: Iterable[bytes], headers: dict[str, str], answers: HeldAnswers, held: Held) -> None:
        super().__init__(media_type="application/json", headers=headers)
        self._blocks = deque(blocks)
        self._answers = answers
        self._held = held
        self.headers["Content-Length"] = str(sum(map(len, self._blocks)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send_blocks(self._taken(), send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except SlowReaderError as error:
            disconnect_slow_reader(scope, error)
        finally:
            self._blocks.clear()
            self._answers.release(self._held)

    def _taken(self) -> Iterable[bytes]:
        while self._blocks:
            block = self._blocks.popleft()
            yield block
            self._answers.release(self._held, len(block))


def disconnect_slow_reader(scope: Scope, error: SlowReaderError) -> None:
    log.info("%s %s: disconnected the client: %s", scope["method"], scope["path"], error)
    disconnect(scope)


def in_blocks(content: bytes) -> Iterator[bytes]:
    """Copies one block at a time: the content stays in memory until the last one."""
    return (content[begin : begin + BLOCK_BYTES] for begin in range(0, len(content), BLOCK_BYTES))


async def send_blocks(blocks: Iterable[bytes], send: Send) -> None:
    """Send a part of a body. Returns when the client has read all of it, except for the last block.

    Raises `SlowReaderError`.
    """
    loop = asyncio.get_running_loop()
    begun, sent_bytes = loop.time(), 0
    for block in blocks:
        deadline = begun + max(SLOW_SECONDS, sent_bytes / MIN_BYTES_PER_SECOND)
        try:
            async with asyncio.timeout_at(deadline):
                await send({"type": "http.response.body", "body": block, "more_body": True})
        except TimeoutError:
            message = f"it has read {sent_bytes} bytes in {loop.time() - begun:.0f} s"
            raise SlowReaderError(message) from None
        sent_bytes += len(block)
