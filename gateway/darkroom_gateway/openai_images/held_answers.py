"""Bounds the memory of answers with pictures in base64, from the time before they are built until their client has read
them. Used by openai_images/results.py and router.py.

A slow client keeps its answer in memory: without a bound, many of them would end the gateway.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from darkroom_gateway.errors import UnavailableError

MAX_HELD_BYTES = 256 * 1024**2
"""Of all answers of one gateway, in base64."""
BLOCK_BYTES = 256 * 1024
"""Bytes of an answer that are given to the connection at once."""


class TooManyAnswersError(UnavailableError):
    """Clients read their pictures slower than others ask for them."""

    title = "Too many pictures at once"


class HeldAnswers:
    """The answers of one gateway that are being built or sent. Not thread-safe."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0

    def hold(self, picture_bytes: int, job_name: str) -> int:
        """Reserve memory for pictures of this size. Returns what `release` takes. Raises `TooManyAnswersError`."""
        size_bytes = -(-picture_bytes // 3) * 4
        if self._held_bytes + size_bytes > self._max_bytes:
            raise TooManyAnswersError(
                "This gateway is sending too many pictures to slow clients. Try again in a moment, or use "
                f"response_format url. The pictures of the job {job_name} are kept: see /v1/jobs/{job_name}."
            )
        self._held_bytes += size_bytes
        return size_bytes

    def release(self, held_bytes: int) -> None:
        self._held_bytes -= held_bytes

    @contextmanager
    def holding(self, picture_bytes: int, job_name: str) -> Iterator[None]:
        """Hold within the block. Raises `TooManyAnswersError`."""
        held_bytes = self.hold(picture_bytes, job_name)
        try:
            yield
        finally:
            self.release(held_bytes)


class HeldResponse(Response):
    """An answer that is sent block by block, so that it is held as long as its client reads it."""

    def __init__(self, body: bytes, headers: dict[str, str], answers: HeldAnswers, held_bytes: int) -> None:
        super().__init__(body, media_type="application/json", headers=headers)
        self._answers = answers
        self._held_bytes = held_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send_in_blocks(bytes(self.body), send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._answers.release(self._held_bytes)


async def send_in_blocks(content: bytes, send: Send) -> None:
    """Send a part of a body. Returns when the client has read all of it, except for the last block."""
    view = memoryview(content)
    for begin in range(0, len(view), BLOCK_BYTES):
        block = bytes(view[begin : begin + BLOCK_BYTES])
        await send({"type": "http.response.body", "body": block, "more_body": True})
