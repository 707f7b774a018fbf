"""A reverse proxy that publishes a server under a path, and strips that path or hands it on, as ingresses do."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


@contextlib.contextmanager
def proxy(upstream: str, prefix: str, *, strips: bool) -> Iterator[httpx.Client]:
    """A client of a proxy in front of `upstream`; what lies outside of the prefix is 404 with `outside` as its body."""
    with httpx.Client(base_url=upstream, trust_env=False, timeout=30) as backend:
        server = _ProxyServer(backend, prefix, strips)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _ProxyServer(ThreadingHTTPServer):
    def __init__(self, backend: httpx.Client, prefix: str, strips: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.backend = backend
        self.prefix = prefix
        self.strips = strips


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _ProxyServer

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, prefix = self.path.split("?")[0], self.server.prefix
        if path != prefix and not path.startswith(prefix + "/"):
            self._answer(404, {}, [b"outside"])
            return
        target = (self.path[len(prefix) :] or "/") if self.server.strips else self.path
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        with self.server.backend.stream(self.command, target, headers=headers, content=body) as response:
            self._answer(response.status_code, dict(response.headers), response.iter_raw())

    def _answer(self, status: int, headers: dict[str, str], chunks: Iterator[bytes] | list[bytes]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(chunk)
            self.wfile.flush()
        self.close_connection = True

    do_GET = do_POST = do_DELETE = _forward  # noqa: N815 (names of http.server)

    def log_message(self, *args: object) -> None:
        """Requests are not logged."""
