"""`pods/log` streams the log from the pod's node."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.kube_api import Api, ApiServer, ok, refused


class Kubelet(ThreadingHTTPServer):
    """A node's log server: returns the request line, and continues once `more` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.more = threading.Event()
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Kubelet

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        place = urlsplit(self.path)
        if "missing" in place.path:
            self.send_error(404, "no such log")
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"first line\n")
        self.wfile.flush()
        if parse_qs(place.query).get("follow") == ["true"]:
            self.server.more.wait(30)
            self.wfile.write(b"second line\n")

    def log_message(self, *arguments: Any) -> None:
        """Silent."""


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    with Kubelet() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.more.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def api(shared: ApiServer, connect: Callable[[ApiServer], Api], kubelet: Kubelet) -> Iterator[Api]:
    """An API server with a node, and a pod on it."""
    connected = connect(shared)
    port = {"kubeletEndpoint": {"Port": kubelet.server_address[1]}}
    node = {"metadata": {"name": "node"}, "status": {"daemonEndpoints": port}}
    ok(connected.http.post("/api/v1/nodes", json=node), 201)
    for name in ("pod", "missing"):
        containers = [{"name": "main", "image": "x"}]
        connected.made("pods", {"metadata": {"name": name}, "spec": {"nodeName": "node", "containers": containers}})
    yield connected
    ok(connected.http.delete("/api/v1/nodes/node"))
    for name in ("pod", "missing"):
        ok(connected.delete("pods", name, gracePeriodSeconds=0))


def test_log_comes_from_the_node(api: Api, kubelet: Kubelet) -> None:
    answer = api.http.get(api.path("pods", "pod", "log"), params={"tailLines": 5, "previous": "true"})
    assert answer.text == "first line\n"
    assert answer.headers["content-type"].startswith("text/plain")
    assert kubelet.asked == ["/containerLogs/default/pod/main?tailLines=5&previous=true"]


def test_followed_log_is_streamed(api: Api, kubelet: Kubelet) -> None:
    with api.http.stream("GET", api.path("pods", "pod", "log"), params={"follow": "true"}) as response:
        lines = response.iter_lines()
        assert next(lines) == "first line"
        kubelet.more.set()
        assert list(lines) == ["second line"]


def test_log_that_the_node_does_not_have_is_an_error(api: Api) -> None:
    assert api.http.get(api.path("pods", "missing", "log")).status_code == 404


def test_unreachable_node_is_reported(api: Api, kubelet: Kubelet) -> None:
    kubelet.server_close()
    assert "node node does not respond" in refused(api.http.get(api.path("pods", "pod", "log")), 503)
