"""A gateway with limits: 429 with Retry-After, and what clients can do about it. Restarts forget nothing."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.testclient import TestClient
from support.gateway_cluster import GatewayCluster
from support.running_gateway import Gateway

from darkroom_contract.names import Kind
from darkroom_gateway.app import create_app
from darkroom_gateway.limits.middleware import client_of
from darkroom_gateway.settings import Settings

KEYS = {name: secrets.token_hex(24) for name in ("alice", "bob", "carol")}
QUOTAS = {"default": {"unfinished": 2}, "keys": {"bob": {"unfinished": None, "perDay": 2}, "carol": {"waiting": 0}}}

StartGateway = Callable[[], AbstractContextManager[Gateway]]


@pytest.fixture(scope="module")
def keys_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name, key in KEYS.items():
        (folder / name).write_text(key)
    return folder


@pytest.fixture(scope="module")
def limited_cluster(cluster: GatewayCluster) -> Iterator[GatewayCluster]:
    namespace = f"limited-{secrets.token_hex(6)}"
    made = cluster.http.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
    assert made.status_code == 201, made.text
    found = GatewayCluster(cluster.kubeconfig, namespace)
    yield found
    found.http.close()


@pytest.fixture(scope="module")
def start(
    start_gateway: Any, environment: dict[str, str], limited_cluster: GatewayCluster, keys_folder: Path, folder: Path
) -> StartGateway:
    quotas = folder / "quotas.yaml"
    quotas.write_text(yaml.safe_dump(QUOTAS))
    settings = {
        "DARKROOM_NAMESPACE": limited_cluster.namespace,
        "DARKROOM_GATEWAY_API_KEYS_DIR": str(keys_folder),
        "DARKROOM_GATEWAY_QUOTAS": str(quotas),
        "DARKROOM_GATEWAY_MAX_QUEUED": "4",
    }
    return lambda: start_gateway({**environment, **settings})


def submit(gateway: Gateway, key: str, path: str = "/generate/sdxl", **headers: str) -> httpx.Response:
    query = {"prompt": "a dog"} | ({"model_id": "my-dog"} if path == "/train" else {})
    return gateway.http.post(path, params=query, headers={"Authorization": f"Bearer {KEYS[key]}", **headers})


def assert_refused(response: httpx.Response, problem: str) -> None:
    assert response.status_code == 429, response.text
    assert response.json()["type"] == f"tag:darkroom.dev,2026:{problem}"
    assert int(response.headers["retry-after"]) > 0


def test_quotas_and_the_queue_limit_submissions(start: StartGateway, limited_cluster: GatewayCluster) -> None:
    with start() as gateway:
        first = submit(gateway, "alice", **{"Idempotency-Key": "one"})
        assert [first.status_code, submit(gateway, "alice").status_code] == [202, 202]
        assert_refused(submit(gateway, "alice"), "QuotaExceeded")
        assert_refused(submit(gateway, "alice", "/train"), "QuotaExceeded")
        repeated = submit(gateway, "alice", **{"Idempotency-Key": "one"})
        assert (repeated.status_code, repeated.json()) == (202, first.json())

        assert [submit(gateway, "bob").status_code for _ in range(2)] == [202, 202]
        refused = submit(gateway, "bob")
        assert_refused(refused, "QuotaExceeded")
        assert int(refused.headers["retry-after"]) > 23 * 3600

    limited_cluster.set_status(Kind.GENERATE, first.json()["task_id"], phase="Running")
    with start() as gateway:  # A restarted gateway, or another replica.
        assert_refused(submit(gateway, "alice"), "QuotaExceeded")
        assert_refused(submit(gateway, "bob"), "QuotaExceeded")
        limited_cluster.readers.append(gateway.http)
        gateway.http.headers["Authorization"] = f"Bearer {KEYS['bob']}"
        limited_cluster.set_status(Kind.GENERATE, first.json()["task_id"], phase="Succeeded")
        limited_cluster.readers.clear()
        assert submit(gateway, "alice").status_code == 202
        limited_cluster.create(Kind.GENERATE, "from-kubectl", {"prompt": "a dog"})
        assert_refused(submit(gateway, "alice"), "QuotaExceeded")


def test_full_queue_is_refused(start: StartGateway, limited_cluster: GatewayCluster) -> None:
    for number in range(5):
        limited_cluster.create(Kind.GENERATE, f"waiting-{number}", {"prompt": "a dog"})
        limited_cluster.set_status(Kind.GENERATE, f"waiting-{number}", phase="Queued")
    for document in limited_cluster.http.get(limited_cluster.path(Kind.GENERATE)).json()["items"]:
        if (document["metadata"].get("labels") or {}).get("darkroom.dev/submitted-by") == "alice":
            limited_cluster.set_status(Kind.GENERATE, document["metadata"]["name"], phase="Succeeded")
    with start() as gateway:
        refused = submit(gateway, "alice")

    assert_refused(refused, "QueueFull")
    assert "at most 4 wait" in refused.json()["detail"]


def test_every_way_to_submit_a_job_is_limited(
    start: StartGateway, limited_cluster: GatewayCluster, bucket: Any, picture: Callable[..., bytes]
) -> None:
    limited_cluster.create(Kind.GENERATE, "finished", {"prompt": "a dog"})
    limited_cluster.set_status(Kind.GENERATE, "finished", phase="Succeeded")
    prefix = f"datasets/{limited_cluster.namespace}/x/"
    bucket.put_object(Bucket="darkroom", Key=f"{prefix}1.jpg", Body=picture())
    spec = {"prompt": "a dog"}
    training = {**spec, "modelId": "my-dog", "dataset": {"uri": f"s3://darkroom/{prefix}"}}
    with start() as gateway:
        headers = {"Authorization": f"Bearer {KEYS['carol']}"}
        refused = [
            gateway.http.post("/v1/generate-jobs", json=spec, headers=headers),
            gateway.http.post("/v1/train-jobs", json=training, headers=headers),
            gateway.http.post("/v1/jobs/finished/retry", headers=headers),
        ]
        pictures = gateway.http.post("/v1/images/generations", json=spec, headers=headers)

    for each in refused:
        assert_refused(each, "QuotaExceeded")
    assert pictures.status_code == 429, pictures.text
    assert pictures.headers["retry-after"] == "30"
    assert "carol has 0 waiting jobs, and its quota is 0" in pictures.json()["error"]["message"]


@pytest.fixture
def hurried(kubeconfig_of_nowhere: Path, keys_folder: Path) -> TestClient:
    """A gateway in this process that accepts two requests a minute."""
    settings = Settings(kubeconfig=str(kubeconfig_of_nowhere), api_keys_dir=str(keys_folder), requests_per_minute=2)
    return TestClient(create_app(settings), base_url="http://127.0.0.1")


def test_too_many_requests_of_a_key_are_refused_until_its_bucket_refills(hurried: TestClient) -> None:
    alice, bob = ({"Authorization": f"Bearer {KEYS[name]}"} for name in ("alice", "bob"))

    answers = [hurried.get("/nowhere", headers=alice) for _ in range(3)]

    assert [each.status_code for each in answers] == [404, 404, 429]
    states = [re.fullmatch(r'"requests";r=(\d+);t=(\d+)', each.headers["ratelimit"]) for each in answers]
    remaining, seconds = zip(*(map(int, state.groups()) for state in states if state), strict=True)
    assert remaining == (1, 0, 0)
    assert 0 < seconds[2] <= 30 < seconds[1] <= 60
    assert {each.headers["ratelimit-policy"] for each in answers} == {'"requests";q=2;w=60'}
    assert_refused(answers[-1], "RateLimited")
    assert answers[-1].headers["retry-after"] == str(seconds[2])
    assert hurried.get("/nowhere", headers=bob).status_code == 404


def test_probes_and_documentation_are_not_limited(hurried: TestClient) -> None:
    assert {hurried.get("/healthz").status_code for _ in range(5)} == {200}
    assert "ratelimit" not in hurried.get("/docs").headers


def test_clients_without_a_key_are_distinguished_by_address() -> None:
    hosts = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1")

    clients = [client_of({"type": "http", "client": (host, 5)}) for host in hosts]

    assert clients == ["192.0.2.1", "192.0.2.2", "2001:db8::/64", "2001:db8::/64", "2001:db8:0:1::/64"]
