"""A client that reads its pictures too slowly loses its connection. The gateway's own server, and a raw socket."""

import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from support.protocol_server import LOW, application, wait_until
from support.raw_http import Connection, post, serving

from darkroom_gateway.http.server import server_config
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.main import GatewayServer
from darkroom_gateway.openai_images import held_answers
from darkroom_gateway.openai_images.held_answers import HeldAnswers, HeldResponse, in_blocks
from darkroom_gateway.openai_images.stream import ImageStream

BODY_BYTES = 64 * 1024**2
"""More than the system's buffers take."""
BOUNDS = LOW.model_copy(update={"write_seconds": 600})


class OneEvent:
    """A stream of one event."""

    has_left = False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        yield b"x" * BODY_BYTES

    def leave(self) -> None:
        self.has_left = True


async def _json(answers: HeldAnswers) -> HeldResponse:
    held = await answers.hold(BODY_BYTES // 4 * 3, "slow", None)
    return HeldResponse(in_blocks(b"x" * BODY_BYTES), {}, answers, held)


async def _stream(_answers: HeldAnswers) -> ImageStream:
    events: Any = OneEvent()
    unused: Any = None
    return ImageStream(events, unused, {})


def app_of(answer: Callable[[HeldAnswers], Any], ended: list[str]) -> ASGIApp:
    answers = HeldAnswers()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
            return
        await receive()
        await (await answer(answers))(scope, receive, send)
        ended.append(f"{answers.held_bytes} bytes are held")

    return app


@pytest.mark.parametrize("answer", [_json, _stream])
def test_slow_reader_is_disconnected(
    answer: Callable[[HeldAnswers], Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(held_answers, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(held_answers, "MIN_BYTES_PER_SECOND", 1024**4)
    caplog.set_level(logging.INFO)
    ended: list[str] = []
    made = GatewayServer(server_config(app_of(answer, ended), "127.0.0.1", 0, BOUNDS, 5), Shutdown(), 0, BOUNDS)
    with serving(made) as (port, server), Connection(port, receive_buffer_bytes=4096) as connection:
        connection.send(post("/", "Content-Length: 0"))

        def is_disconnected() -> bool:
            connection.socket.recv(100)
            return bool(ended) and not server.server_state.connections

        wait_until(is_disconnected, "the connection is closed")

    assert ended == ["0 bytes are held"]
    assert [each.message for each in caplog.records if each.levelno > logging.INFO] == []
    assert "POST /: disconnected the client: it has read" in caplog.text
