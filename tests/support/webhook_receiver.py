"""A receiver of webhooks: an HTTP server in this process that keeps what it gets, and answers as a test wants."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The example of the specification."""


@dataclass(frozen=True)
class Received:
    """One request."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answer = Callable[[Received], int]


@dataclass
class Receiver:
    """`answer` decides about the status; by default 204."""

    url: str
    answer: Answer = lambda _: 204
    headers: dict[str, str] = field(default_factory=dict)
    """Of each answer."""
    received: list[Received] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        return [each.message["type"] for each in self.received]


@contextmanager
def receiving(answer: Answer = lambda _: 204, host: str = "127.0.0.1", **headers: str) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            request = Received(names, body)
            receiver.received.append(request)
            self.send_response(receiver.answer(request))
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *arguments: object) -> None:
            """A sender that is killed breaks off."""

    with Server((host, 0), Handler) as server:
        receiver = Receiver(f"http://{host}:{server.server_address[1]}/hook", answer, dict(headers))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
