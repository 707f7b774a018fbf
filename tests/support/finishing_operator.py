"""An operator whose generations succeed at once, for requests that wait for their job."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import run_prefix
from support.gateway_cluster import MERGE_PATCH, GatewayCluster
from support.s3_server import BUCKET

NOW = "2026-01-02T03:04:05Z"
WATCH_SECONDS = 1
"""How long it takes to stop, at most."""


@contextmanager
def finishing_generations(cluster: GatewayCluster, bucket: Any) -> Iterator[None]:
    """Let every GenerateJob that a gateway creates in the namespace succeed with one picture, within the context."""
    stopping = threading.Event()
    thread = threading.Thread(target=_finish_all, args=(cluster, bucket, stopping))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _finish_all(cluster: GatewayCluster, bucket: Any, stopping: threading.Event) -> None:
    path = cluster.path(Kind.GENERATE)
    version = cluster.http.get(path).json()["metadata"]["resourceVersion"]
    while not stopping.is_set():
        watch = {"watch": "1", "timeoutSeconds": str(WATCH_SECONDS), "resourceVersion": version}
        with cluster.http.stream("GET", path, params=watch) as response:
            for line in response.iter_lines():
                event = json.loads(line)
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] == "ADDED" and event["object"]["metadata"]["name"].startswith("generate-"):
                    _finish(cluster, bucket, event["object"]["metadata"])


def _finish(cluster: GatewayCluster, bucket: Any, job: dict[str, Any]) -> None:
    key = f"{run_prefix(job['uid'])}{job['name']}-seed-0.png"
    bucket.put_object(Bucket=BUCKET, Key=key, Body=b"picture")
    artifact = {"key": key, "contentType": "image/png", "bytes": 7, "sha256": "0" * 64}
    status = {"phase": "Succeeded", "attempts": 1, "completionTime": NOW, "artifacts": [artifact]}
    path = cluster.path(Kind.GENERATE, job["name"]) + "/status"
    answer = cluster.http.patch(path, content=json.dumps({"status": status}), headers=MERGE_PATCH)
    assert answer.status_code in (httpx.codes.OK, httpx.codes.NOT_FOUND), answer.text
