"""The memory of pictures in base64 is bounded, however slowly clients read them."""

import asyncio

import pytest
from starlette.types import Message

from darkroom_gateway.openai_images.held_answers import BLOCK_BYTES, HeldAnswers, HeldResponse, TooManyAnswersError

BODY = b"x" * (2 * BLOCK_BYTES + 1)


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


def test_answers_beyond_the_bound_are_refused() -> None:
    answers = HeldAnswers(max_bytes=1000)
    held = answers.hold(600, "one")

    with pytest.raises(TooManyAnswersError, match="see /v1/jobs/two"):
        answers.hold(300, "two")

    answers.release(held)
    with answers.holding(750, "three"), pytest.raises(TooManyAnswersError):
        answers.hold(3, "four")
    answers.hold(750, "five")


async def test_answer_is_held_until_its_client_has_read_it() -> None:
    answers, client = HeldAnswers(max_bytes=len(BODY) * 2), Client()
    response = HeldResponse(BODY, {}, answers, answers.hold(len(BODY), "slow"))
    sending = asyncio.create_task(response({"type": "http"}, _receive, client.send))
    begun = await client.read(3)

    with pytest.raises(TooManyAnswersError):
        answers.hold(len(BODY), "next")

    start, *blocks = [*begun, *await client.read(2)]
    await sending
    answers.hold(len(BODY), "next")
    assert b"".join(each["body"] for each in blocks) == BODY
    assert [each["more_body"] for each in blocks] == [True, True, True, False]
    assert (b"content-length", str(len(BODY)).encode()) in start["headers"]


async def test_answer_to_a_lost_client_is_released() -> None:
    answers, client = HeldAnswers(max_bytes=len(BODY) * 2), Client()
    response = HeldResponse(BODY, {}, answers, answers.hold(len(BODY), "lost"))
    sending = asyncio.create_task(response({"type": "http"}, _receive, client.send))
    await client.read(1)

    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)

    answers.hold(len(BODY), "next")
