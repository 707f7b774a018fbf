"""The connection limit, and shutdown of the server."""

import socket
from contextlib import ExitStack

import pytest
from support.protocol_server import LOW, ask, server, wait_until
from support.raw_http import Connection, get, post


def test_connections_beyond_the_limit_get_a_503_except_probes(caplog: pytest.LogCaptureFixture) -> None:
    bounds = LOW.model_copy(update={"header_seconds": 20})
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
        wait_until(lambda: len(running.server_state.connections) < len(held), "one has ended")
        assert ask(port, get("/jobs")).status == 200


def test_upload_beyond_the_connection_limit_receives_its_503() -> None:
    bounds = LOW.model_copy(update={"header_seconds": 20, "max_connections": 1})
    with server(bounds) as (crowded, running), Connection(crowded):
        wait_until(lambda: running.server_state.connections, "the only place is taken")
        with Connection(crowded) as connection:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            connection.send(post("/train", "Content-Length: 500000"), *[b"x" * 10_000] * 50)
            assert connection.answer().problem == "TooManyConnections"
            assert connection.is_closed()


def test_connections_far_beyond_the_limit_are_closed_immediately() -> None:
    bounds = LOW.model_copy(update={"header_seconds": 20, "max_connections": 1})
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
