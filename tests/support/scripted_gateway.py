"""A gateway in this process that answers by a script: for tests of clients with lost connections and outages."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ScriptedGateway:
    """Answers each path in the order of its script. The last answer of a path is repeated."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self._answers: dict[str, list[Answer]] = {}

    def script(self, method: str, path: str, *answers: Answer) -> None:
        self._answers[f"{method} {path}"] = list(answers)

    def sent(self, method: str, path: str) -> list[Request]:
        """The requests for a path, without their queries."""
        return [each for each in self.requests if each.method == method and each.path.partition("?")[0] == path]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = (
            _chunks(handler)
            if "transfer-encoding" in headers
            else handler.rfile.read(int(headers.get("content-length", 0)))
        )
        self.requests.append(Request(handler.command, handler.path, headers, body))
        answers = self._answers.get(f"{handler.command} {handler.path.partition('?')[0]}", [problem(404, "NotFound")])
        (answers.pop(0) if len(answers) > 1 else answers[0])(handler)


@contextmanager
def scripted_gateway() -> Iterator[ScriptedGateway]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            gateway.answer(self)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        gateway = ScriptedGateway(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield gateway
        finally:
            server.shutdown()
            thread.join()


def content(body: bytes, status: int = 200, *, announced: int | None = None, **headers: str) -> Answer:
    """`announced`: the Content-Length, when the connection is to break before the end."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body) if announced is None else announced))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def document(value: Any, status: int = 200, **headers: str) -> Answer:
    return content(json.dumps(value).encode(), status, Content_Type="application/json", **headers)


def problem(status: int, reason: str, detail: str = "Something is wrong.", **headers: str) -> Answer:
    body = {"type": f"tag:darkroom.dev,2026:{reason}", "title": reason, "status": status, "detail": detail}
    return document(
        {**body, "errors": [{"parameter": "training.rank", "message": detail, "given": "0"}]}, status, **headers
    )


def events(*blocks: tuple[str, Any, str], content_type: str = "text/event-stream") -> Answer:
    """Server-sent events of name, data and id; then the connection ends."""
    text = "".join(
        f"event: {name}\ndata: {json.dumps(data)}\n" + (f"id: {id_}\n" if id_ else "") + "\n"
        for name, data, id_ in blocks
    )
    return content(text.encode(), Content_Type=content_type)


def lost_connection(handler: BaseHTTPRequestHandler) -> None:
    """The request was read, and the connection breaks before the answer."""
    handler.close_connection = True


def _chunks(handler: BaseHTTPRequestHandler) -> bytes:
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


def job(job_id: str = "train-a", status: str = "Running", **fields: Any) -> dict[str, Any]:
    """A job as the gateway has it."""
    kind = "GenerateJob" if job_id.startswith("generate") else "TrainJob"
    empty = dict.fromkeys(("queue", "progress", "error", "started", "completed", "next_attempt", "submitted_by"))
    return {
        "id": job_id,
        "kind": kind,
        "status": status,
        "model_id": "my-dog",
        "prompt": "a photo of sks dog",
        "priority": 0,
        "spec": {},
        "remarks": [],
        "artifacts": [],
        "created": "2026-11-29T12:00:00Z",
        "attempts": 1,
        "deleting": False,
        "urls": {},
        **empty,
        **fields,
    }
