"""Limits of request heads: time, size, and invalid input."""

import socket
import time

import pytest
from support.protocol_server import LOW, ask
from support.raw_http import Connection, get, post
from support.waiting import first_within

from darkroom_gateway.http.connection_bounds import MAX_PIPELINED_REQUESTS, MAX_URL_BYTES


def test_silent_client_is_disconnected(port: int) -> None:
    def seconds_until_closed() -> float:
        with Connection(port) as connection:
            began = time.monotonic()
            assert connection.is_closed()
            return time.monotonic() - began

    limit = LOW.header_seconds + 2
    assert LOW.header_seconds * 0.9 < first_within(limit, seconds_until_closed) < limit


@pytest.mark.parametrize("piece", [b"X-A: b\r\n", b"x", b"\r\n"])
def test_slow_head_is_refused_at_its_deadline(port: int, piece: bytes) -> None:
    def seconds_until_refused() -> float:
        with Connection(port) as connection:
            if piece != b"\r\n":
                connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ")
            seconds = connection.trickle(piece)
            if piece != b"\r\n":
                answer = connection.answer()
                assert (answer.status, answer.problem) == (408, "RequestTimeout")
                assert answer.headers["connection"] == "close"
            assert connection.is_closed()
            return seconds

    assert first_within(LOW.header_seconds + 2, seconds_until_refused) < LOW.header_seconds + 2


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
