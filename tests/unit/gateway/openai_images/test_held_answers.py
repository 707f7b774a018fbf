"""The memory of pictures in base64 is bounded, however slowly clients read them."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message

from darkroom_gateway.openai_images import held_answers
from darkroom_gateway.openai_images.held_answers import (
    BLOCK_BYTES,
    Held,
    HeldAnswers,
    HeldResponse,
    TooManyAnswersError,
    in_blocks,
    send_blocks,
)

BODY = b"x" * (2 * BLOCK_BYTES + 1)
PICTURE_BYTES = len(BODY) // 4 * 3
SCOPE = {"type": "http", "method": "POST", "path": "/v1/images/generations"}


class Client:
    """Reads one message whenever it is allowed to."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._turns = asyncio.Semaphore(0)

    async def send(self, message: Message) -> None:
        await self._turns.acquire()
        self._messages.put_nowait(message)

    async def read(self, count: int) -> list[Message]:
        for _ in range(count):
            self._turns.release()
        return [await self._messages.get() for _ in range(count)]


async def _receive() -> Message:
    return {"type": "http.disconnect"}


@asynccontextmanager
async def sending(answers: HeldAnswers, client: Client) -> "AsyncIterator[asyncio.Task[None]]":
    """An answer of `BODY` that is being sent."""
    response = HeldResponse(in_blocks(BODY), {}, answers, await answers.hold(PICTURE_BYTES, "slow", None))
    task = asyncio.create_task(response(SCOPE, _receive, client.send))
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def turns() -> None:
    """Let all other tasks run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_answers_beyond_the_bound_are_refused() -> None:
    answers = HeldAnswers(max_bytes=1000, wait_seconds=0)
    held = await answers.hold(600, "one", None)

    with pytest.raises(TooManyAnswersError, match="see /v1/jobs/two") as refusal:
        await answers.hold(300, "two", None)
    assert refusal.value.retry_after_seconds

    answers.release(held)
    async with answers.holding(750, "three", None):
        with pytest.raises(TooManyAnswersError):
            await answers.hold(3, "four", None)
    await answers.hold(750, "five", None)


async def test_answer_waits_for_space_and_others_wait_behind_it() -> None:
    answers = HeldAnswers(max_bytes=1000)
    first = await answers.hold(450, "first", None)
    large = asyncio.create_task(answers.hold(600, "large", None))
    small = asyncio.create_task(answers.hold(150, "small", None))
    await turns()
    assert not large.done()
    assert not small.done()

    answers.release(first)

    assert [each.size_bytes for each in await asyncio.gather(large, small)] == [800, 200]
    assert answers.held_bytes == 1000


async def test_answer_does_not_wait_longer_than_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_answers, "MIN_WAIT_SECONDS", 0.01)
    answers = HeldAnswers(max_bytes=1000, wait_seconds=600)
    await answers.hold(600, "one", None)

    async with asyncio.timeout(60):
        with pytest.raises(TooManyAnswersError):
            await answers.hold(300, "two", None, left_seconds=-1)


async def test_answer_waits_a_little_when_its_request_has_no_time_left() -> None:
    answers = HeldAnswers(max_bytes=1000)
    first = await answers.hold(600, "one", None)
    second = asyncio.create_task(answers.hold(600, "two", None, left_seconds=-1))
    await turns()

    answers.release(first)

    assert (await second).size_bytes == 800


async def test_answer_whose_client_leaves_the_queue_blocks_nobody() -> None:
    answers = HeldAnswers(max_bytes=1000)
    await answers.hold(450, "first", None)
    large = asyncio.create_task(answers.hold(600, "large", None))
    small = asyncio.create_task(answers.hold(150, "small", None))
    await turns()

    large.cancel()

    await small
    assert answers.held_bytes == 800


async def test_client_that_leaves_as_it_is_given_space_keeps_none() -> None:
    answers = HeldAnswers(max_bytes=1000)
    first = await answers.hold(450, "first", None)
    next_ = asyncio.create_task(answers.hold(600, "next", None))
    await turns()

    answers.release(first)
    next_.cancel()
    await asyncio.gather(next_, return_exceptions=True)

    assert answers.held_bytes == 0


async def test_one_key_never_takes_more_than_half() -> None:
    answers = HeldAnswers(max_bytes=1000)
    first = await answers.hold(300, "first", "greedy")
    greedy = [asyncio.create_task(answers.hold(150, "next", "greedy")) for _ in range(20)]
    await turns()

    held: Held = await answers.hold(300, "other", "modest")

    assert (held.size_bytes, answers.held_bytes) == (400, 800)
    assert not any(each.done() for each in greedy)
    answers.release(first)
    await turns()
    assert sum(each.done() for each in greedy) == 2
    for each in greedy:
        each.cancel()


async def test_answer_over_its_share_that_does_not_fit_either_blocks_nobody() -> None:
    answers = HeldAnswers(max_bytes=1000)
    for client in ("greedy", "other"):
        await answers.hold(300, "first", client)
    over_share = asyncio.create_task(answers.hold(300, "second", "greedy"))
    small = asyncio.create_task(answers.hold(75, "small", "modest"))
    await turns()

    assert small.done()
    assert not over_share.done()
    over_share.cancel()


async def test_what_a_client_has_read_is_free() -> None:
    answers, client = HeldAnswers(max_bytes=len(BODY) * 2, wait_seconds=0), Client()
    async with sending(answers, client) as task:
        start, *begun = await client.read(3)
        await turns()
        assert answers.held_bytes < len(BODY) // 2

        blocks = [*begun, *await client.read(2)]
        await task
    assert answers.held_bytes == 0
    assert b"".join(each["body"] for each in blocks) == BODY
    assert [each["more_body"] for each in blocks] == [True, True, True, False]
    assert (b"content-length", str(len(BODY)).encode()) in start["headers"]


async def test_answer_is_held_while_its_client_reads_nothing() -> None:
    answers, client = HeldAnswers(max_bytes=len(BODY) * 2, wait_seconds=0), Client()
    async with sending(answers, client):
        await client.read(1)
        await turns()

        with pytest.raises(TooManyAnswersError):
            await answers.hold(PICTURE_BYTES * 2, "next", None)


async def test_answer_to_a_lost_client_is_released() -> None:
    answers, client = HeldAnswers(max_bytes=len(BODY) * 2), Client()
    async with sending(answers, client) as task:
        await client.read(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert answers.held_bytes == 0


async def test_client_that_reads_too_slowly_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_answers, "SLOW_SECONDS", 0.01)
    answers, client = HeldAnswers(), Client()
    async with sending(answers, client) as task:
        await client.read(1)
        await task  # Without the end of the body: the server closes the connection.

    assert answers.held_bytes == 0


async def test_event_of_a_stream_is_copied_block_by_block() -> None:
    content = bytes(64 * BLOCK_BYTES)
    sent_bytes = 0

    async def send(message: Message) -> None:
        nonlocal sent_bytes
        sent_bytes += len(message["body"])

    tracemalloc.start()
    try:
        await send_blocks(in_blocks(content), send)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sent_bytes == len(content)
    assert most_bytes < 4 * BLOCK_BYTES
