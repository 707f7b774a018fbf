"""Requests on a raw connection: pipelining, chunks, trailers, upgrades, and the names of uvicorn that are used."""

import asyncio
import inspect
import time
from typing import Any

import httptools
import pytest
import uvicorn
from support.protocol_server import (
    LOW,
    application,
    socket_is_readable,
)
from support.raw_http import Connection, get, post
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from darkroom_gateway.http.server import server_config


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
    assert "self.scope = {" in inspect.getsource(HttpToolsProtocol.on_message_begin)
    assert "self._start_asgi_task(self.cycle, app)" in source
    cycle = inspect.getsource(inspect.getmodule(HttpToolsProtocol).RequestResponseCycle)  # type: ignore[union-attr]
    for name in ("disconnected", "message_event", "response_started", "response_complete", "keep_alive"):
        assert f"self.{name} = " in cycle, name
