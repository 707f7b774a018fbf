"""Following a job by server-sent events, and by polling when the stream is unavailable."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from darkroom_local.demo import gateway_client
from darkroom_local.demo.gateway_client import GatewayClient
from darkroom_local.errors import DemoFailedError

RUNNING, DONE = '{"phase": "Running"}', '{"phase": "Succeeded"}'
JOB = {"events_url": "/events", "job_url": "/job"}


class ScriptedGateway(ThreadingHTTPServer):
    """Answers `/events` and `/job` with a list of responses, one per request; the last one is repeated."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.answers: dict[str, list[tuple[int, str]]] = {"/events": [], "/job": [(200, DONE)]}
        self.last_ids: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class ScriptedHandler(BaseHTTPRequestHandler):
    server: ScriptedGateway

    def do_GET(self) -> None:
        if self.path == "/events":
            self.server.last_ids.append(self.headers.get("Last-Event-ID"))
        left = self.server.answers[self.path]
        status, body = left.pop(0) if len(left) > 1 else left[0]
        self.send_response(status)
        streams = self.path == "/events" and status == 200
        self.send_header("Content-Type", "text/event-stream" if streams else "application/problem+json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments: object) -> None:
        """Silent."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedGateway]:
    monkeypatch.setattr(gateway_client, "POLL_SECONDS", 0.01)
    with ScriptedGateway() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def followed(server: ScriptedGateway) -> list[dict[str, Any]]:
    with GatewayClient(server.url) as gateway:
        return list(gateway.follow(JOB))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('event: status\ndata: {"phase": "a"}\n\n', [{"phase": "a"}]),
        ('event:status\ndata:{"phase":"a"}\n\n', [{"phase": "a"}]),
        ('event: status\ndata: {"phase":\ndata: "a"}\n\n', [{"phase": "a"}]),
        ('event: progress\ndata: {"step": 1}\nid: 7-0\n\n', [{"phase": "Queued", "progress": {"step": 1}}]),
        (": ping\n\n: ping\n\n", []),
        ("retry: 2000\n\n", []),
        ('event: status\ndata: {"phase": "a"}', []),
        (
            'event: status\ndata: {"phase": "a"}\nretry: 1\n\nevent: status\ndata: {"phase": "b"}\n\n',
            [{"phase": "a"}, {"phase": "b"}],
        ),
    ],
)
def test_events_are_parsed_by_the_standard(server: ScriptedGateway, text: str, expected: list[dict[str, Any]]) -> None:
    server.answers["/events"] = [(200, text)]

    assert followed(server)[:-1] == expected


def test_a_job_is_followed_until_it_is_finished(server: ScriptedGateway) -> None:
    progress = 'event: progress\ndata: {"step": 1}\n\n'
    server.answers["/events"] = [(200, f"event: status\ndata: {RUNNING}\n\n{progress}event: end\ndata: {{}}\n\n")]

    states = followed(server)

    running = {"phase": "Running", "progress": {"step": 1}}
    assert states == [{"phase": "Running"}, running, {"phase": "Succeeded"}]


def test_live_progress_replaces_the_older_copy_in_a_status(server: ScriptedGateway) -> None:
    status = 'event: status\ndata: {"phase": "Running", "progress": {"step": 5}}\n\n'
    server.answers["/events"] = [(200, f'{status}event: progress\ndata: {{"step": 7}}\n\n{status}')]

    assert [state["progress"]["step"] for state in followed(server)[:-1]] == [5, 7, 7]


def test_a_broken_stream_is_resumed_with_the_last_event_id(server: ScriptedGateway) -> None:
    events = [f'event: progress\nid: {number}-0\ndata: {{"step": {number}}}\n\n' for number in (5, 6)]
    server.answers["/events"] = [(200, event) for event in events]
    server.answers["/job"] = [(200, RUNNING), (200, DONE)]

    steps = [state["progress"]["step"] for state in followed(server) if "progress" in state]

    assert steps == [5, 6]
    assert server.last_ids == [None, "5-0"]


def test_without_a_stream_the_job_is_polled(server: ScriptedGateway) -> None:
    server.answers["/events"] = [(503, "")]
    server.answers["/job"] = [(200, RUNNING), (200, RUNNING), (200, DONE)]

    assert [state["phase"] for state in followed(server)] == ["Running", "Running", "Succeeded"]


def test_a_temporary_outage_of_the_cluster_is_waited_out(server: ScriptedGateway) -> None:
    server.answers["/events"] = [(503, "")]
    server.answers["/job"] = [(503, '{"detail": "The cluster is down."}'), (200, DONE)]

    assert followed(server) == [{"phase": "Succeeded"}]


def test_following_a_deleted_job_fails(server: ScriptedGateway) -> None:
    server.answers["/events"] = [(404, "")]
    server.answers["/job"] = [(404, '{"detail": "There is no task of this name."}')]

    with pytest.raises(DemoFailedError, match="There is no task of this name"):
        followed(server)


def test_a_rejected_request_fails_with_the_detail_of_the_gateway(server: ScriptedGateway) -> None:
    server.answers["/job"] = [(422, '{"detail": "max_steps: too many."}')]

    with (
        GatewayClient(server.url) as gateway,
        pytest.raises(DemoFailedError, match=r"GET /job failed with 422: max_steps: too many\."),
    ):
        gateway.call("GET", "/job")


def test_a_link_that_does_not_work_fails(server: ScriptedGateway, tmp_path: Any) -> None:
    server.answers["/job"] = [(403, "expired")]

    with GatewayClient(server.url) as gateway, pytest.raises(httpx.HTTPStatusError, match="403"):
        gateway.download("/job", tmp_path / "picture.png")
