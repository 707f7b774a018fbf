"""An S3 server that takes virtual-hosted addresses only, and a resolver that finds its buckets' names."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

DOMAIN = "s3.darkroom.test"
NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code></Error>"
LISTING = "<ListBucketResult><Contents><Key>{key}</Key><Size>{size}</Size></Contents></ListBucketResult>"


class VirtualS3:
    """Objects by bucket and key. It believes every signature, and 404s what comes in path style."""

    def __init__(self, port: int) -> None:
        self.endpoint_url = f"http://{DOMAIN}:{port}"
        self.objects: dict[tuple[str, str], bytes] = {}
        self.hosts: set[str] = set()

    def answer(self, method: str, host: str, target: str, body: bytes) -> tuple[int, bytes]:
        self.hosts.add(host)
        name, url = host.split(":")[0], urlsplit(target)
        if not name.endswith(f".{DOMAIN}"):
            return 404, NO_SUCH_KEY
        place = (name.removesuffix(f".{DOMAIN}"), unquote(url.path[1:]))
        if method == "PUT":
            self.objects[place] = body
        elif method == "GET" and not place[1]:
            return 200, "".join(
                LISTING.format(key=key, size=len(self.objects[b, key])) for b, key in self.objects
            ).encode()
        elif method == "GET":
            return (200, self.objects[place]) if place in self.objects else (404, NO_SUCH_KEY)
        return 200, b""


@contextmanager
def virtual_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualS3]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = store.answer(self.command, self.headers["Host"], self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = _serve  # noqa: N815 (names of http.server)

        def log_message(self, *args: object) -> None:
            """Requests are not logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store = VirtualS3(server.server_port)
    resolve = socket.getaddrinfo

    def find(host: Any, *rest: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith(DOMAIN) else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
