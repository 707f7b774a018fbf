"""Without the cluster or storage, requests get a 503 with Retry-After, and leave nothing incomplete behind."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.isolated_namespace import IsolatedNamespace

from darkroom_contract.names import Kind
from darkroom_gateway.app import create_app
from darkroom_gateway.health import readiness
from darkroom_gateway.services import Services
from darkroom_local.kube.kubeconfig import write_kubeconfig

Draw = Callable[..., bytes]


@pytest.fixture(scope="module")
def without_cluster(
    start_gateway: Any, environment: dict[str, str], kubeconfig_of_nowhere: Any
) -> Iterator[httpx.Client]:
    with start_gateway({**environment, "KUBECONFIG": str(kubeconfig_of_nowhere)}) as started:
        yield started.http


@pytest.fixture(scope="module")
def without_storage(start_gateway: Any, environment: dict[str, str], nowhere: str) -> Iterator[httpx.Client]:
    with start_gateway({**environment, "DARKROOM_S3_ENDPOINT_URL": nowhere}) as started:
        yield started.http


def assert_unavailable(response: httpx.Response, type_: str) -> None:
    assert response.status_code == 503, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) > 0
    assert response.json()["type"].endswith(f":{type_}")


def train(http: httpx.Client, photo: bytes, **headers: str) -> httpx.Response:
    query = {"prompt": "a photo of sks dog", "model_id": "dog"}
    return http.post("/train", params=query, files={"files": ("a.jpg", photo)}, headers=headers)


def test_gateway_with_all_backends_is_ready(http: httpx.Client) -> None:
    assert http.get("/readyz").json() == {"status": "ready", "checks": {"cluster": "ok", "storage": "ok"}}


def test_requests_without_a_cluster_get_503(without_cluster: httpx.Client) -> None:
    requests = [
        ("GET", "/result?task_id=a"),
        ("GET", "/images?task_id=a"),
        ("GET", "/jobs"),
        ("GET", "/jobs/a"),
        ("GET", "/jobs/a/events"),
        ("DELETE", "/jobs/a"),
        ("POST", "/generate/sdxl?prompt=a"),
        ("POST", "/generate/lora?prompt=a&model_id=dog"),
    ]
    for method, url in requests:
        assert_unavailable(without_cluster.request(method, url), "ClusterUnavailable")


def test_training_without_a_cluster_is_refused_and_leaves_no_photo(
    without_cluster: httpx.Client, stored_keys: Any, picture: Draw
) -> None:
    photos = stored_keys("datasets/")

    assert_unavailable(train(without_cluster, picture()), "ClusterUnavailable")
    assert stored_keys("datasets/") == photos


def test_invalid_input_without_a_cluster_gets_422(without_cluster: httpx.Client) -> None:
    assert train(without_cluster, b"no picture").status_code == 422


def test_gateway_without_a_cluster_is_alive_but_not_ready(without_cluster: httpx.Client) -> None:
    assert without_cluster.get("/healthz").status_code == 200
    response = without_cluster.get("/readyz")
    assert_unavailable(response, "NotReady")
    assert [each["parameter"] for each in response.json()["errors"]] == ["cluster"]


async def test_gateway_is_ready_once_it_has_listed_the_jobs(
    isolated: IsolatedNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the first call may take longer, which is another fault than the one tested here.
    monkeypatch.setattr(readiness, "READY_SECONDS", 60)
    app = create_app(isolated.settings)
    services: Services = app.state.services
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
            before = await http.get("/readyz")
            services.informer.start()
            await services.informer.ready()
            after = await http.get("/readyz")
    finally:
        await services.close()

    assert_unavailable(before, "NotReady")
    assert [(each["parameter"], "not been listed" in each["message"]) for each in before.json()["errors"]] == [
        ("cluster", True)
    ]
    assert after.json()["status"] == "ready"


def test_training_without_storage_is_refused_and_creates_no_job(
    without_storage: httpx.Client, cluster: Any, picture: Draw
) -> None:
    jobs = cluster.count(Kind.TRAIN)

    assert_unavailable(train(without_storage, picture()), "StorageUnavailable")
    assert cluster.count(Kind.TRAIN) == jobs


def test_models_without_storage_get_503(without_storage: httpx.Client) -> None:
    assert_unavailable(without_storage.get("/models"), "StorageUnavailable")
    assert_unavailable(
        without_storage.post("/generate/lora", params={"prompt": "a", "model_id": "dog"}), "StorageUnavailable"
    )


def test_generation_with_the_base_model_needs_no_storage(without_storage: httpx.Client) -> None:
    assert without_storage.post("/generate/sdxl", params={"prompt": "a"}).status_code == 202


def test_gateway_without_storage_is_not_ready(without_storage: httpx.Client) -> None:
    response = without_storage.get("/readyz")
    assert_unavailable(response, "NotReady")
    assert [each["parameter"] for each in response.json()["errors"]] == ["storage"]


def test_outage_message_contains_no_addresses_and_no_secrets(
    without_storage: httpx.Client, s3_environment: dict[str, str], nowhere: str
) -> None:
    text = without_storage.get("/models").text

    assert nowhere.removeprefix("http://") not in text
    assert s3_environment["AWS_SECRET_ACCESS_KEY"] not in text


def test_refused_credentials_leave_no_photos(
    start_gateway: Any, environment: dict[str, str], kubeconfig_of_a_stranger: Any, stored_keys: Any, picture: Draw
) -> None:
    photos = stored_keys("datasets/")
    with start_gateway({**environment, "KUBECONFIG": str(kubeconfig_of_a_stranger)}) as gateway:
        assert_unavailable(train(gateway.http, picture()), "ClusterUnavailable")

    assert stored_keys("datasets/") == photos


def test_hanging_cluster_does_not_delay_other_requests(
    start_gateway: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig.yaml"
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as threads:
        kubeconfig.write_text(write_kubeconfig(f"http://127.0.0.1:{silent.getsockname()[1]}", "token", "default"))
        with start_gateway({**environment, "KUBECONFIG": str(kubeconfig)}) as gateway:
            waiting = threads.submit(gateway.http.get, "/jobs")
            connection, _ = silent.accept()
            assert gateway.http.get("/healthz").status_code == 200
            assert not waiting.done()
            connection.close()
            assert_unavailable(waiting.result(), "ClusterUnavailable")
