"""An API server that knows nothing and writes down what it is asked: the rights that a caller needs."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)/namespaces/(?P<namespace>[^/]+)"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, order=True)
class Access:
    """One thing that is asked for, as RBAC sees it."""

    verb: str
    group: str
    resource: str
    """`pods`, or `pods/status`."""
    name: str = ""
    """Empty where a whole collection is asked for, and for what does not exist yet."""


def access_of(method: str, target: str) -> Access:
    """What a request needs, by https://kubernetes.io/docs/reference/access-authn-authz/authorization/ ."""
    url = urlsplit(target)
    match = _PATH.fullmatch(url.path)
    assert match, f"{target} is no request for an object of a namespace"
    name, subresource = match["name"] or "", match["subresource"]
    verb = _VERBS.get(method) or ("get" if name else "list")
    if "watch" in parse_qs(url.query) and not name:
        verb = "watch"
    resource = f"{match['resource']}/{subresource}" if subresource else match["resource"]
    return Access(verb, match["group"] or "", resource, name)


def allows(rule: Json, access: Access) -> bool:
    return (
        access.group in rule["apiGroups"]
        and access.resource in rule["resources"]
        and access.verb in rule["verbs"]
        and ("resourceNames" not in rule or access.name in rule["resourceNames"])
    )


def grants(rule: Json) -> Iterator[Access]:
    """All that a rule allows, one by one; names left out."""
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield Access(verb, group, resource)


class RecordingApi(ThreadingHTTPServer):
    """Answers every request with an object or a list that has little in it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.accesses: set[Access] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RecordingApi

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        access = access_of(self.command, self.path)
        self.server.accesses.add(access)
        metadata = {"name": access.name or "x", "namespace": "x", "uid": "u", "resourceVersion": "1"}
        metadata["creationTimestamp"] = "2026-11-27T12:00:00Z"
        spec = {"prompt": "a red circle"}
        document = {"apiVersion": "darkroom.dev/v1alpha1", "kind": "GenerateJob", "metadata": metadata, "spec": spec}
        body = json.dumps({**document, "items": []}).encode()
        self.send_response(201 if self.command == "POST" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 (http.server's names)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Nothing: tests look at `accesses`."""


@contextmanager
def recording_api() -> Iterator[RecordingApi]:
    server = RecordingApi()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
