"""Servers behind a firewall that drops packets, and endless listings."""

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
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import CLUSTER_CONNECT_SECONDS, STORAGE_CONNECT_SECONDS, STORAGE_SECONDS
from darkroom_gateway.errors import ClusterUnavailableError, StorageUnavailableError
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.models import catalog
from darkroom_gateway.models.catalog import ModelCatalog
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_local.kube.kubeconfig import write_kubeconfig

SLACK_SECONDS = 3.0


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a server with a full connection queue: Linux drops further connections."""
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


def test_unreachable_api_server_is_an_outage(url: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig.yaml"
    kubeconfig.write_text(write_kubeconfig(url, "token", "default"))
    begin = time.monotonic()
    with closing(KubeClient(Settings(kubeconfig=str(kubeconfig)))) as cluster:
        with pytest.raises(ClusterUnavailableError) as error:
            cluster.create({"kind": Kind.GENERATE.value, "metadata": {"name": "a"}})
        assert CLUSTER_CONNECT_SECONDS - 0.1 < time.monotonic() - begin < CLUSTER_CONNECT_SECONDS + SLACK_SECONDS
    assert not error.value.maybe_done


def test_expired_list_is_an_outage(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig.yaml"
    with ThreadingHTTPServer(("127.0.0.1", 0), ExpiringList) as server:
        threading.Thread(target=server.serve_forever).start()
        kubeconfig.write_text(write_kubeconfig(f"http://127.0.0.1:{server.server_port}", "token", "default"))
        settings = Settings(kubeconfig=str(kubeconfig))
        with closing(KubeClient(settings)) as cluster, pytest.raises(ClusterUnavailableError, match="is too old"):
            cluster.list(Kind.TRAIN)
        server.shutdown()


class ExpiringList(BaseHTTPRequestHandler):
    """A server whose list has a second page that has expired."""

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
        """Log nothing."""


def test_unreachable_object_storage_is_an_outage(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    with closing(ObjectStorage(Settings(s3_endpoint_url=url))) as storage:
        begin = time.monotonic()
        with pytest.raises(StorageUnavailableError):
            storage.check()
        assert 2 * STORAGE_CONNECT_SECONDS - 0.1 < time.monotonic() - begin < STORAGE_SECONDS + SLACK_SECONDS


async def test_listing_of_models_has_a_total_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record stays within its own deadline."""
    monkeypatch.setattr(catalog, "MODELS_SECONDS", 0.2)
    go = threading.Event()
    storage = SimpleNamespace(list_folders=lambda _prefix, limit: ["a"] * limit, read=lambda _key: go.wait())
    models = ModelCatalog(
        cast("KubeClient", SimpleNamespace(namespace="default")),
        cast("ObjectStorage", storage),
        backends := Backends(),
        JobStore(),
    )
    try:
        with pytest.raises(StorageUnavailableError, match=r"did not list all models within 0\.2 s"):
            await asyncio.wait_for(models.list(100), 60)
        assert len(backends.storage._tasks) == catalog.READS_AT_ONCE
    finally:
        go.set()
