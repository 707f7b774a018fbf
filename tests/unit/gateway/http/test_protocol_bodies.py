"""Limits of request bodies and responses: stalled, slow and too large ones."""

import socket
import time

import pytest
import uvicorn
from support.protocol_server import (
    BIG_BYTES,
    LOW,
    MAX_BODY_BYTES,
    application,
    server,
    socket_is_readable,
    wait_for_seconds,
    wait_until,
)
from support.raw_http import Connection, get, post, serving
from support.waiting import first_within

from darkroom_gateway.http.server import server_config


@pytest.mark.parametrize("headers", [["Content-Length: 100000"], ["Transfer-Encoding: chunked"]])
def test_stalled_body_gets_a_408(port: int, headers: list[str]) -> None:
    def seconds_until_refused() -> float:
        with Connection(port) as connection:
            began = time.monotonic()
            connection.send(post("/", *headers), b"5\r\nabcde\r\n")
            answer = connection.answer()
            seconds = time.monotonic() - began
            assert (answer.status, answer.problem, answer.headers["connection"]) == (408, "RequestTimeout", "close")
            assert connection.is_closed()
            return seconds

    limit = LOW.body_seconds + 2
    assert LOW.body_seconds * 0.9 < first_within(limit, seconds_until_refused) < limit


def test_slow_body_gets_a_408(port: int) -> None:
    def seconds_until_refused() -> float:
        with Connection(port) as connection:
            connection.send(post("/", "Content-Length: 100000"))
            seconds = connection.trickle(b"x")
            assert connection.answer().problem == "RequestTimeout"
            return seconds

    assert first_within(LOW.body_seconds + 2, seconds_until_refused) < LOW.body_seconds + 2


def test_missing_body_does_not_delay_a_response_further(connection: Connection) -> None:
    connection.send(post("/unread", "Content-Length: 100000"))
    answer = connection.answer()
    assert (answer.body, answer.headers["connection"]) == (b"/unread", "close")
    assert connection.is_closed()


def test_slow_body_after_its_response_is_disconnected(port: int) -> None:
    bounds = LOW.model_copy(update={"body_seconds": 0.1})
    without_body_limit = uvicorn.Server(server_config(application, "127.0.0.1", 0, bounds, 5))
    with serving(without_body_limit) as (other, _):

        def seconds_until_disconnected() -> float:
            with Connection(other) as connection:
                connection.send(post("/unread", "Content-Length: 100000"))
                assert connection.answer().body == b"/unread"
                return connection.trickle(b"x")

        assert first_within(bounds.header_seconds + 2, seconds_until_disconnected) < bounds.header_seconds + 2


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


def test_client_that_reads_nothing_is_dropped(port: int) -> None:
    def seconds_until_dropped(other: int, running: uvicorn.Server) -> float:
        with Connection(other, receive_buffer_bytes=4096) as connection:
            connection.send(get("/big"))
            wait_until(lambda: running.server_state.connections, "the connection is there")
            began = time.monotonic()
            wait_until(lambda: not running.server_state.connections, "the connection is dropped")
            return time.monotonic() - began

    limit = 2 * LOW.write_seconds + 2
    with server() as (other, running):
        seconds = first_within(limit, lambda: seconds_until_dropped(other, running))
        assert LOW.write_seconds * 0.5 < seconds < limit


def test_client_that_reads_slowly_is_kept(port: int) -> None:
    with (
        server(LOW.model_copy(update={"write_seconds": 1})) as (other, _),
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
    def user_timeout_milliseconds(port: int, running: uvicorn.Server) -> int:
        with Connection(port) as connection:
            connection.send(get())
            connection.answer()
            own = connection.socket.getsockname()
            transports = [each.transport for each in running.server_state.connections]
            [accepted] = [each for each in transports if each.get_extra_info("peername") == own]
            with accepted.get_extra_info("socket").dup() as same:
                return int(same.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    with server() as running:  # A connection may be accepted before the listening socket has the option.
        wait_until(lambda: user_timeout_milliseconds(*running) == LOW.write_seconds * 1000, "connections have it")


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
