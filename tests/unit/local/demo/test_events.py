"""Following a job: server-sent events as they come, and what happens when they don't."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from darkroom_local.demo import events
from darkroom_local.demo.events import ServerEvent, follow, parse
from darkroom_local.demo.gateway import Gateway
from darkroom_local.errors import DemoFailedError


async def lines_of(text):
    for line in text.split("\n"):
        yield line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('event: status\ndata: {"a": 1}\n\n', [ServerEvent("status", {"a": 1})]),
        ('data: {"a": 1}\nid: 7-0\n\n', [ServerEvent("message", {"a": 1}, "7-0")]),
        ('event:end\ndata:{"a":1}\n\n', [ServerEvent("end", {"a": 1})]),
        ('data: {"a":\ndata: 1}\n\n', [ServerEvent("message", {"a": 1})]),
        (": ping\n\n: ping\n\n", []),
        ("retry: 2000\n\n", []),
        ('data: {"a": 1}', []),
        ("event: a\ndata: {}\nretry: 1\n\nevent: b\ndata: {}\n\n", [ServerEvent("a", {}), ServerEvent("b", {})]),
    ],
)
async def test_events_are_read_as_the_standard_has_them(text, expected):
    assert [event async for event in parse(lines_of(text))] == expected


class Scripted(ThreadingHTTPServer):
    """Answers `/events` and `/job` with what a test has put down, one answer a request; the last one stays."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.answers = {"/events": [], "/job": []}
        self.last_ids = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class ScriptedHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/events":
            self.server.last_ids.append(self.headers.get("Last-Event-ID"))
        left = self.server.answers[self.path]
        status, body = left.pop(0) if len(left) > 1 else left[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        """Silent."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(events, "POLL_SECONDS", 0.01)
    with Scripted() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def followed(server):
    async with Gateway(server.url) as gateway, contextlib.aclosing(follow(gateway, "/events", "/job")) as stream:
        return [(event.name, event.data) async for event in stream]


RUNNING, DONE = '{"phase": "Running"}', '{"phase": "Succeeded"}'


async def test_a_job_is_followed_until_it_is_over(server):
    server.answers["/events"] = [(200, 'event: progress\ndata: {"step": 1}\n\nevent: end\ndata: {}\n\n')]
    server.answers["/job"] = [(200, DONE)]

    assert await followed(server) == [("progress", {"step": 1}), ("end", {}), ("status", {"phase": "Succeeded"})]


async def test_a_stream_that_breaks_is_taken_up_where_it_was(server):
    server.answers["/events"] = [(200, 'id: 5-0\ndata: {"step": 1}\n\n'), (200, 'id: 6-0\ndata: {"step": 2}\n\n')]
    server.answers["/job"] = [(200, RUNNING), (200, DONE)]

    steps = [data["step"] for _, data in await followed(server) if "step" in data]

    assert steps == [1, 2]
    assert server.last_ids == [None, "5-0"]


async def test_without_a_stream_the_job_is_asked_for_again_and_again(server):
    server.answers["/events"] = [(503, "")]
    server.answers["/job"] = [(200, RUNNING), (200, RUNNING), (200, DONE)]

    phases = [data["phase"] for _, data in await followed(server)]

    assert phases == ["Running", "Running", "Succeeded"]


async def test_a_cluster_that_is_down_for_a_while_is_waited_for(server):
    server.answers["/events"] = [(503, "")]
    server.answers["/job"] = [(503, '{"detail": "The cluster is down."}'), (200, DONE)]

    assert await followed(server) == [("status", {"phase": "Succeeded"})]


async def test_a_job_that_was_deleted_ends_it(server):
    server.answers["/events"] = [(404, "")]

    with pytest.raises(DemoFailedError, match="deleted"):
        await followed(server)


async def test_a_refusal_is_told_in_the_gateway_s_own_words(server):
    server.answers["/job"] = [(422, '{"detail": "max_steps: too many."}')]

    async with Gateway(server.url) as gateway:
        with pytest.raises(DemoFailedError, match=r"GET /job was answered with 422: max_steps: too many\."):
            await gateway.read("/job")
