"""The gateway's HTTP server with low limits, around an ASGI application for tests of connections."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from darkroom_gateway.errors import GatewayError
from darkroom_gateway.http.body_limit import BodyLimitMiddleware
from darkroom_gateway.http.connection_bounds import ConnectionBounds
from darkroom_gateway.http.problems import problem_response
from darkroom_gateway.http.server import server_config
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.main import GatewayServer
from support.raw_http import Answer, Connection, serving
from support.waiting import waiter

LOW = ConnectionBounds(
    max_connections=20,
    header_seconds=1,
    max_header_bytes=2000,
    max_headers=20,
    body_seconds=1,
    min_body_bytes_per_second=10_000,
    keep_alive_seconds=3,
    write_seconds=2,
)
BIG_BYTES = 64 * 1024**2
MAX_BODY_BYTES = 1_000_000

wait_until = waiter(20)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Echoes the body. `/big` returns a long response, `/slow` a delayed one, `/headers` the names of the request's
    headers; `/watch` waits until the client disconnects, and `/stream` sends until then."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    if scope["path"] in ("/watch", "/stream"):
        await _watch(scope, receive, send)
        return
    body = b""
    try:
        if scope["path"] != "/unread":
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
    except GatewayError as error:
        await problem_response(error)(scope, receive, send)
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * LOW.header_seconds)
    answer = body or scope["path"].encode()
    if scope["path"] == "/headers":
        answer = b" ".join(name for name, _ in scope["headers"])
    await _send(scope, send, answer)


async def _send(scope: Any, send: Any, answer: bytes) -> None:
    length = BIG_BYTES if scope["path"] == "/big" else len(answer)
    headers = [(b"content-length", str(length).encode())] if scope["path"] != "/chunked" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/big":
        for _ in range(BIG_BYTES // 2**16):
            await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": answer})


async def _watch(scope: Any, receive: Any, send: Any) -> None:
    sender = asyncio.create_task(_stream(send)) if scope["path"] == "/stream" else None
    while (await receive())["type"] != "http.disconnect":
        pass
    if sender is not None:
        sender.cancel()


async def _stream(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})
        await asyncio.sleep(0)


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


@contextmanager
def server(bounds: ConnectionBounds = LOW) -> Iterator[tuple[int, uvicorn.Server]]:
    app = BodyLimitMiddleware(application, MAX_BODY_BYTES, bounds)
    made = GatewayServer(server_config(app, "127.0.0.1", 0, bounds, 5), Shutdown(), 0, bounds)
    with serving(made) as (port, running):
        yield port, running


def ask(port: int, *pieces: bytes) -> Answer:
    with Connection(port) as made:
        made.send(*pieces)
        return made.answer()


def socket_is_readable(connection: Connection, seconds: float) -> bool:
    connection.socket.settimeout(max(seconds, 0.001))
    try:
        connection.socket.recv(1, socket.MSG_PEEK)
        return True
    except TimeoutError:
        return False
    finally:
        connection.socket.settimeout(30)


def wait_for_seconds(seconds: float) -> None:
    """Read slowly."""
    time.sleep(seconds)
