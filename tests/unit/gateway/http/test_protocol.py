"""Limits of connections, tested with raw sockets on a real server with low limits."""

import asyncio
import inspect
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import httptools
import pytest
import uvicorn
from support.raw_http import Answer, Connection, get, post, serving
from support.waiting import patience
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from darkroom_gateway.errors import GatewayError
from darkroom_gateway.http.body_limit import BodyLimitMiddleware
from darkroom_gateway.http.connection_bounds import MAX_PIPELINED_REQUESTS, MAX_URL_BYTES, ConnectionBounds
from darkroom_gateway.http.problems import problem_response
from darkroom_gateway.http.server import server_config
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.main import GatewayServer

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

wait_until = patience(20)


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


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with server() as (found, _):
        yield found


@pytest.fixture
def connection(port: int) -> Iterator[Connection]:
    with Connection(port) as made:
        yield made


def ask(port: int, *pieces: bytes) -> Answer:
    with Connection(port) as made:
        made.send(*pieces)
        return made.answer()


# ---- What is in order stays so ----


def test_connection_serves_several_requests(connection: Connection) -> None:
    for number in range(3):
        connection.send(get(f"/{number}"))
        assert connection.answer().body == f"/{number}".encode()


def test_idle_connection_outlives_the_head_timeout(connection: Connection) -> None:
    connection.send(get())
    connection.answer()
    assert not socket_is_readable(connection, LOW.header_seconds * 1.5)
    connection.send(get("/again"))
    assert connection.answer().body == b"/again"
    assert connection.is_closed()


def test_pipelined_requests_are_answered_in_order(connection: Connection) -> None:
    connection.send(b"".join(get(f"/{number}") for number in range(10)))
    assert [connection.answer().body for _ in range(10)] == [f"/{number}".encode() for number in range(10)]


def test_http_1_0_is_answered_and_closed(connection: Connection) -> None:
    connection.send(b"GET /old HTTP/1.0\r\n\r\n")
    assert connection.answer().body == b"/old"
    assert connection.is_closed()


def test_response_of_unknown_length_is_chunked(connection: Connection) -> None:
    connection.send(get("/chunked"))
    answer = connection.answer()
    assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"/chunked")


def test_response_to_head_has_no_body(connection: Connection) -> None:
    connection.send(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n", get("/b"))
    assert connection.answer(to_head=True).headers["content-length"] == "2"
    assert connection.answer().body == b"/b"


def test_chunked_bodies_and_their_trailers_are_read(connection: Connection) -> None:
    chunks = [b"3;note=x\r\nabc\r\n", b"4\r\ndefg\r\n", b"0\r\nX-Sum: 7\r\n\r\n"]
    connection.send(post("/", "Transfer-Encoding: chunked"), *chunks, get("/next"))
    assert connection.answer().body == b"abcdefg"
    assert connection.answer().body == b"/next"


def test_trailers_are_not_headers(connection: Connection) -> None:
    """RFC 9110, 6.5.1. A proxy in front would not have checked it."""
    head = post("/headers", "Transfer-Encoding: chunked")
    connection.send(head + b"1\r\nx\r\n0\r\nHost: b\r\nAuthorization: Bearer x\r\n\r\n")
    assert connection.answer().body == b"host transfer-encoding"


def test_client_that_expects_100_continue_gets_it(connection: Connection) -> None:
    connection.send(post("/", "Content-Length: 3", "Expect: 100-continue"))
    assert connection.answer().status == 100
    connection.send(b"abc")
    assert connection.answer().body == b"abc"


def test_body_at_the_minimum_rate_is_accepted_however_long_it_takes(connection: Connection) -> None:
    piece, pieces = b"x" * 4000, 8
    connection.send(post("/", f"Content-Length: {len(piece) * pieces}"))
    began = time.monotonic()
    for number in range(pieces):
        assert not socket_is_readable(connection, max(0.0, began + number * 0.3 - time.monotonic()))
        connection.send(piece)
    assert time.monotonic() - began > 2 * LOW.body_seconds
    assert len(connection.answer().body) == len(piece) * pieces


def test_time_of_the_application_does_not_count_against_the_client(connection: Connection) -> None:
    connection.send(get("/slow"))
    assert connection.answer().body == b"/slow"


def test_next_requests_head_does_not_interrupt_a_response(connection: Connection) -> None:
    connection.send(get("/slow"), b"GET /next HTTP/1.1\r\n")
    assert connection.answer().body == b"/slow"
    connection.send(b"Host: a\r\n\r\n")
    assert connection.answer().body == b"/next"


def test_upgrade_request_is_answered_in_http_1_1(connection: Connection) -> None:
    connection.send(get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
    answer = connection.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert connection.is_closed()


@pytest.mark.parametrize(
    ("framing", "pieces"),
    [
        ("Content-Length: 5", [b"hello"]),
        ("Content-Length: 5", [b"hel", b"lo"]),
        ("Transfer-Encoding: chunked", [b"3\r\nhel\r\n2\r\nl", b"o\r\n0\r\nX-Sum: 7\r\n\r\n"]),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_body_of_an_upgrade_request_is_read(
    connection: Connection, framing: str, pieces: list[bytes], at_once: bool
) -> None:
    """Java's HttpClient requests HTTP/2 with each upload over plain HTTP, and curl with --http2."""
    head = post("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "Expect: 100-continue", framing)
    if at_once:
        connection.send(head + b"".join(pieces) + get("/behind"))
    else:
        connection.send(head)
    assert connection.answer().status == 100
    if not at_once:
        connection.send(*pieces)
    answer = connection.answer()
    assert (answer.body, answer.headers["connection"]) == (b"hello", "close")
    assert connection.is_closed()


def test_body_of_an_upgrade_request_has_the_same_limits(port: int) -> None:
    head = post("/", "Connection: Upgrade", "Upgrade: h2c", "Transfer-Encoding: chunked")
    for body, problem in (
        (b"zz\r\n", "MalformedRequest"),
        (b"1;" + b"x" * 1_000_000, "HeadersTooLarge"),
        (b"", "RequestTimeout"),
    ):
        with Connection(port) as connection:
            connection.send(head + body)
            assert connection.answer().problem == problem
            assert connection.is_closed()


# ---- Heads ----


def test_silent_client_is_disconnected(connection: Connection) -> None:
    began = time.monotonic()
    assert connection.is_closed()
    assert LOW.header_seconds * 0.9 < time.monotonic() - began < LOW.header_seconds + 2


@pytest.mark.parametrize("piece", [b"X-A: b\r\n", b"x", b"\r\n"])
def test_slow_head_is_refused_at_its_deadline(connection: Connection, piece: bytes) -> None:
    if piece != b"\r\n":
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ")
    assert connection.trickle(piece) < LOW.header_seconds + 2
    if piece != b"\r\n":
        answer = connection.answer()
        assert (answer.status, answer.problem) == (408, "RequestTimeout")
        assert answer.headers["connection"] == "close"
    assert connection.is_closed()


@pytest.mark.parametrize("pieces", [[get() + b"GET /next HTT"], [get(), b"GET /next HTT"]])
def test_slow_later_head_of_a_connection_is_refused_too(connection: Connection, pieces: list[bytes]) -> None:
    connection.send(*pieces)
    assert connection.answer().status == 200
    assert connection.answer().problem == "RequestTimeout"
    assert connection.is_closed()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(get("/", "X-Long: " + "x" * 3000), id="one field"),
        pytest.param(get("/", *(f"X-{number}: {'x' * 150}" for number in range(19))), id="fields together"),
        pytest.param(get("/", *(f"X-{number}: x" for number in range(20))), id="number of fields"),
        pytest.param(get("/", "X-Endless: " + "x" * 200_000).removesuffix(b"\r\n\r\n"), id="without end"),
        pytest.param(get("/", "X" * 200_000).removesuffix(b"\r\n\r\n"), id="name without end"),
    ],
)
def test_headers_beyond_the_limit_are_refused(connection: Connection, head: bytes) -> None:
    connection.send(head)
    answer = connection.answer()
    assert (answer.status, answer.problem) == (431, "HeadersTooLarge")
    assert connection.is_closed()


def test_headers_at_the_limit_are_accepted(port: int) -> None:
    most = ["X-A: " + "x" * (LOW.max_header_bytes - len("host: localhost") - 2 - len("x-a: ") - 2)]
    assert ask(port, get("/", *most)).status == 200
    assert ask(port, get("/", *(f"X-{number}: x" for number in range(LOW.max_headers - 1)))).status == 200


def test_endless_trailers_and_chunk_extensions_are_refused(port: int) -> None:
    for endless in (b"1;" + b"x" * 1_000_000, b"0\r\nX-A: " + b"x" * 1_000_000):
        with Connection(port) as connection:
            connection.send(post("/", "Transfer-Encoding: chunked"), endless)
            assert connection.answer().problem == "HeadersTooLarge"
            assert connection.is_closed()


def test_url_beyond_the_limit_is_refused(port: int) -> None:
    longest = "/" + "x" * (MAX_URL_BYTES - 1)
    assert ask(port, get(longest)).body == longest.encode()
    answer = ask(port, get(longest + "x"))
    assert (answer.status, answer.problem) == (414, "UrlTooLong")
    assert ask(port, b"GET /" + b"x" * 10 * MAX_URL_BYTES).problem == "UrlTooLong"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
    ],
)
def test_input_that_is_not_http_gets_a_400(connection: Connection, garbage: bytes) -> None:
    connection.send(garbage)
    answer = connection.answer()
    assert (answer.status, answer.problem) == (400, "MalformedRequest")
    assert connection.is_closed()


def test_client_that_continues_to_send_receives_the_refusal(connection: Connection) -> None:
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    connection.send(get("/", "X-Long: " + "x" * 3000))
    connection.send(*[b"y" * 10_000] * 50)
    assert connection.answer().problem == "HeadersTooLarge"


def test_garbage_after_a_request_does_not_affect_its_response(connection: Connection) -> None:
    connection.send(get("/slow"), b"\x00\x01\x02")
    assert connection.is_closed()


def test_invalid_url_after_a_request_does_not_affect_its_response(connection: Connection) -> None:
    connection.send(get("/slow"), b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.is_closed()


def test_broken_chunk_is_refused_and_ends_the_request(connection: Connection) -> None:
    connection.send(post("/", "Transfer-Encoding: chunked"), b"3\r\nabc\r\n", b"zz\r\n")
    assert connection.answer().problem == "MalformedRequest"


def test_too_many_pipelined_requests_are_refused(connection: Connection) -> None:
    connection.send(get("/slow") * (MAX_PIPELINED_REQUESTS + 3))
    assert connection.is_closed()


# ---- Bodies ----


@pytest.mark.parametrize("headers", [["Content-Length: 100000"], ["Transfer-Encoding: chunked"]])
def test_stalled_body_gets_a_408(connection: Connection, headers: list[str]) -> None:
    began = time.monotonic()
    connection.send(post("/", *headers), b"5\r\nabcde\r\n")
    answer = connection.answer()
    assert (answer.status, answer.problem, answer.headers["connection"]) == (408, "RequestTimeout", "close")
    assert LOW.body_seconds * 0.9 < time.monotonic() - began < LOW.body_seconds + 2
    assert connection.is_closed()


def test_slow_body_gets_a_408(connection: Connection) -> None:
    connection.send(post("/", "Content-Length: 100000"))
    assert connection.trickle(b"x") < LOW.body_seconds + 2
    assert connection.answer().problem == "RequestTimeout"


def test_missing_body_does_not_delay_a_response_further(connection: Connection) -> None:
    connection.send(post("/unread", "Content-Length: 100000"))
    answer = connection.answer()
    assert (answer.body, answer.headers["connection"]) == (b"/unread", "close")
    assert connection.is_closed()


def test_slow_body_after_its_response_is_disconnected(port: int) -> None:
    bounds = replace(LOW, body_seconds=0.1)
    without_body_limit = uvicorn.Server(server_config(application, "127.0.0.1", 0, bounds, 5))
    with serving(without_body_limit) as (other, _), Connection(other) as connection:
        connection.send(post("/unread", "Content-Length: 100000"))
        assert connection.answer().body == b"/unread"
        assert connection.trickle(b"x") < bounds.header_seconds + 2


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_body_is_refused(connection: Connection, chunked: bool) -> None:
    size = MAX_BODY_BYTES + 1
    if chunked:
        connection.send(post("/", "Transfer-Encoding: chunked"))
        for _ in range(size // 10_000 + 1):
            connection.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        connection.send(b"0\r\n\r\n")
    else:
        connection.send(post("/", f"Content-Length: {size}"), b"x" * size)
    assert connection.answer().problem == "TooLarge"


# ---- Answers ----


def test_client_that_reads_nothing_is_dropped(port: int) -> None:
    with server() as (other, running), Connection(other, receive_buffer_bytes=4096) as connection:
        connection.send(get("/big"))
        wait_until(lambda: running.server_state.connections, "the connection is there")
        began = time.monotonic()
        wait_until(lambda: not running.server_state.connections, "the connection is dropped")
        assert LOW.write_seconds * 0.5 < time.monotonic() - began < 2 * LOW.write_seconds + 2


def test_client_that_reads_slowly_is_kept(port: int) -> None:
    with (
        server(replace(LOW, write_seconds=1)) as (other, _),
        Connection(other, receive_buffer_bytes=65536) as connection,
    ):
        connection.send(get("/big"))
        began, read = time.monotonic(), 0
        while read < BIG_BYTES:
            came = len(connection.socket.recv(2**20))
            assert came > 0, f"dropped after {read} bytes"
            read += came
            if time.monotonic() - began < 3:
                assert socket_is_readable(connection, 5)
                wait_for_seconds(0.05)
        assert time.monotonic() - began > 3


def test_system_drops_clients_that_acknowledge_nothing() -> None:
    with server() as (port, running), Connection(port) as connection:
        connection.send(get())
        connection.answer()
        [accepted] = running.server_state.connections
        with accepted.transport.get_extra_info("socket").dup() as same:
            assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == LOW.write_seconds * 1000


def test_stream_whose_client_reads_nothing_ends() -> None:
    with server() as (port, running), Connection(port, receive_buffer_bytes=4096) as connection:
        connection.send(get("/stream"))
        wait_until(lambda: running.server_state.tasks, "the request is taken")
        wait_until(lambda: not running.server_state.tasks, "the stream has ended")


@pytest.mark.parametrize("behind", [0, 1, 2])
def test_response_ends_with_its_client_despite_pipelined_requests(behind: int) -> None:
    with server() as (port, running):
        with Connection(port) as connection:
            connection.send(get("/watch") + get("/next") * behind)
            wait_until(lambda: running.server_state.tasks, "the request is taken")
        wait_until(lambda: not running.server_state.tasks, "the request has ended")


# ---- Connections ----


def test_connections_beyond_the_limit_get_a_503_except_probes(caplog: pytest.LogCaptureFixture) -> None:
    bounds = replace(LOW, header_seconds=20)
    with server(bounds) as (port, running), ExitStack() as stack:
        held = [stack.enter_context(Connection(port)) for _ in range(bounds.max_connections)]
        wait_until(lambda: len(running.server_state.connections) == len(held), "all are accepted")

        refused, probed = ask(port, get("/jobs")), ask(port, get("/readyz"))
        assert (refused.status, refused.problem, refused.headers["retry-after"]) == (503, "TooManyConnections", "5")
        assert (probed.status, probed.headers["connection"]) == (200, "close")
        assert caplog.text.count("more than 20 connections are open") == 1

        held[0].send(get("/mine"))
        assert held[0].answer().body == b"/mine"

        held[0].socket.close()
        wait_until(lambda: len(running.server_state.connections) < len(held), "one is gone")
        assert ask(port, get("/jobs")).status == 200


def test_upload_beyond_the_connection_limit_receives_its_503() -> None:
    bounds = replace(LOW, header_seconds=20, max_connections=1)
    with server(bounds) as (crowded, running), Connection(crowded):
        wait_until(lambda: running.server_state.connections, "the only place is taken")
        with Connection(crowded) as connection:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            connection.send(post("/train", "Content-Length: 500000"), *[b"x" * 10_000] * 50)
            assert connection.answer().problem == "TooManyConnections"
            assert connection.is_closed()


def test_connections_far_beyond_the_limit_are_closed_immediately() -> None:
    bounds = replace(LOW, header_seconds=20, max_connections=1)
    with server(bounds) as (port, running), ExitStack() as stack:
        many = [stack.enter_context(Connection(port)) for _ in range(100)]
        assert many[-1].answer().problem == "TooManyConnections"
        assert many[-1].is_closed()
        assert len(running.server_state.connections) < 70


def test_stopping_server_closes_idle_connections_and_finishes_responses() -> None:
    with ExitStack() as stack:
        with server() as (port, running):
            idle, busy = stack.enter_context(Connection(port)), stack.enter_context(Connection(port))
            busy.send(get("/slow"))
            wait_until(lambda: running.server_state.tasks, "the request is taken")
        assert busy.answer().body == b"/slow"
        assert idle.is_closed()


# ---- What this relies on ----


def test_uvicorn_has_the_names_that_the_protocol_uses() -> None:
    """If a new release of uvicorn fails here, check http/protocol.py before pinning it."""
    config = server_config(application, "127.0.0.1", 0, LOW, 5)
    config.load()
    loop = asyncio.new_event_loop()
    try:
        made: Any = config.http_protocol_class(
            config=config, server_state=uvicorn.server.ServerState(), app_state={}, _loop=loop
        )
    finally:
        loop.close()
    assert isinstance(made, HttpToolsProtocol)
    assert isinstance(made.parser, httptools.HttpRequestParser)
    for name in ("app", "connections", "cycle", "flow", "loop", "pipeline", "timeout_keep_alive_task", "transport"):
        assert name in vars(made), name
    overridden = (
        *("connection_made", "connection_lost", "data_received", "resume_writing", "on_message_begin", "on_url"),
        *("on_header", "on_headers_complete", "on_body", "on_message_complete", "on_response_complete"),
        "_start_asgi_task",
    )
    for name in overridden:
        assert inspect.isfunction(vars(HttpToolsProtocol).get(name)), name
    source = inspect.getsource(HttpToolsProtocol)
    assert "self._start_asgi_task(self.cycle, app)" in source
    cycle = inspect.getsource(inspect.getmodule(HttpToolsProtocol).RequestResponseCycle)  # type: ignore[union-attr]
    for name in ("disconnected", "message_event", "response_started", "response_complete", "keep_alive"):
        assert f"self.{name} = " in cycle, name


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
