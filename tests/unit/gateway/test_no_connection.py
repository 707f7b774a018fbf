"""An address where nobody takes connections, as behind a firewall that drops them; and listings that never end."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from darkroom_contract.names import Kind
from darkroom_gateway import known_models
from darkroom_gateway.backends import Backends
from darkroom_gateway.cluster import Cluster
from darkroom_gateway.deadlines import CLUSTER_CONNECT_SECONDS, STORAGE_CONNECT_SECONDS, STORAGE_SECONDS
from darkroom_gateway.errors import ClusterUnavailableError, StorageUnavailableError
from darkroom_gateway.job_store import JobStore
from darkroom_gateway.known_models import KnownModels
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage import Storage
from darkroom_local.kube.kubeconfig import write_kubeconfig

SLACK_SECONDS = 3.0


@pytest.fixture
def url() -> Iterator[str]:
    """Of a server whose queue of connections is full: Linux drops what comes then."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for each in waiting:
            each.close()


def test_the_api_server_takes_no_connections(url: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig.yaml"
    kubeconfig.write_text(write_kubeconfig(url, "token", "default"))
    begin = time.monotonic()
    with closing(Cluster(Settings(kubeconfig=str(kubeconfig)))) as cluster:
        with pytest.raises(ClusterUnavailableError) as error:
            cluster.create({"kind": Kind.GENERATE.value, "metadata": {"name": "a"}})
        assert CLUSTER_CONNECT_SECONDS - 0.1 < time.monotonic() - begin < CLUSTER_CONNECT_SECONDS + SLACK_SECONDS
    assert not error.value.maybe_done


def test_a_list_whose_rest_has_expired_is_an_outage(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig.yaml"
    with ThreadingHTTPServer(("127.0.0.1", 0), ExpiringList) as server:
        threading.Thread(target=server.serve_forever).start()
        kubeconfig.write_text(write_kubeconfig(f"http://127.0.0.1:{server.server_port}", "token", "default"))
        settings = Settings(kubeconfig=str(kubeconfig))
        with closing(Cluster(settings)) as cluster, pytest.raises(ClusterUnavailableError, match="is too old"):
            cluster.list(Kind.TRAIN)
        server.shutdown()


class ExpiringList(BaseHTTPRequestHandler):
    """The first page of a list, whose second is no longer available."""

    def do_GET(self) -> None:  # (the name that http.server calls)
        expired = "continue=" in self.path
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "The continue parameter is too old."}
        page = {"metadata": {"resourceVersion": "1", "continue": "more"}, "items": []}
        body = json.dumps(status if expired else page).encode()
        self.send_response(410 if expired else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Not to standard error."""


def test_object_storage_takes_no_connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    with closing(Storage(Settings(s3_endpoint_url=url))) as storage:
        begin = time.monotonic()
        with pytest.raises(StorageUnavailableError):
            storage.check()
        assert 2 * STORAGE_CONNECT_SECONDS - 0.1 < time.monotonic() - begin < STORAGE_SECONDS + SLACK_SECONDS


async def test_a_listing_of_models_has_a_deadline_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record comes within its own."""
    monkeypatch.setattr(known_models, "MODELS_SECONDS", 0.2)
    go = threading.Event()
    storage = SimpleNamespace(list_folders=lambda _prefix, limit: ["a"] * limit, read=lambda _key: go.wait())
    models = KnownModels(
        cast("Cluster", SimpleNamespace(namespace="default")),
        cast("Storage", storage),
        backends := Backends(),
        JobStore(),
    )
    try:
        with pytest.raises(StorageUnavailableError, match=r"did not list all models within 0\.2 s"):
            await asyncio.wait_for(models.list(100), 10)
        assert len(backends.storage._tasks) == known_models.READS_AT_ONCE
    finally:
        go.set()
