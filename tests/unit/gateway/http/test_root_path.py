"""A gateway behind a proxy with a path prefix: one proxy strips it, one does not."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.event_streams import follow
from support.path_proxy import proxy

from darkroom_contract.names import Kind
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.settings import Settings
from darkroom_local.processes.ports import free_ports

PREFIX = "/darkroom"
KEY = secrets.token_hex(24)
WITH_KEY = {"Authorization": f"Bearer {KEY}"}
SMALL_BYTES = 100_000


@pytest.fixture(scope="module")
def metrics_port() -> int:
    [port] = free_ports(1)
    return port


@pytest.fixture(scope="module")
def backend(start_gateway: Any, environment: dict[str, str], folder: Path, metrics_port: int) -> Iterator[Any]:
    """A gateway with an API key and a root path."""
    keys = folder / "root-path-keys"
    keys.mkdir()
    (keys / "alice").write_text(KEY)
    settings = {
        "DARKROOM_GATEWAY_ROOT_PATH": PREFIX + "/",
        "DARKROOM_GATEWAY_API_KEYS_DIR": str(keys),
        "DARKROOM_GATEWAY_MAX_UPLOAD_BYTES": str(SMALL_BYTES),
        "DARKROOM_GATEWAY_METRICS_PORT": str(metrics_port),
    }
    with start_gateway({**environment, **settings}) as gateway:
        yield gateway


@pytest.fixture(scope="module", params=[True, False], ids=["strips", "hands on"])
def http(request: pytest.FixtureRequest, backend: Any) -> Iterator[httpx.Client]:
    """A client of the proxy, with the prefix as base URL."""
    with proxy(str(backend.http.base_url), PREFIX, strips=request.param) as client:
        client.headers.update(WITH_KEY)
        yield client


@pytest.fixture
def submitted(http: httpx.Client) -> tuple[httpx.Response, dict[str, Any]]:
    response = http.post(f"{PREFIX}/generate/sdxl", params={"prompt": "a dog"})
    assert response.status_code == 202, response.text
    return response, response.json()


def test_every_link_begins_with_the_root_path(
    http: httpx.Client, submitted: tuple[httpx.Response, dict[str, Any]]
) -> None:
    response, answer = submitted
    job = http.get(answer["job_url"]).json()
    [listed] = [each for each in http.get(f"{PREFIX}/jobs").json()["jobs"] if each["task_id"] == answer["task_id"]]

    links = [response.headers["location"], answer["status_url"], answer["job_url"]]
    links += [each["status_url"] for each in (job, listed, http.get(answer["status_url"]).json())]
    assert all(link.startswith(PREFIX + "/") for link in links)
    assert {http.get(link).json()["task_id"] for link in links} == {answer["task_id"]}
    assert {each["events_url"] for each in (answer, job, listed)} == {answer["events_url"]}


def test_event_stream_works_through_the_proxy(
    http: httpx.Client, cluster: Any, submitted: tuple[httpx.Response, dict[str, Any]]
) -> None:
    name = submitted[1]["task_id"]
    assert submitted[1]["events_url"].startswith(f"{PREFIX}/jobs/{name}/events")
    cluster.set_status(Kind.GENERATE, name, phase="Failed")
    with httpx.Client(base_url=f"{http.base_url}{PREFIX}", headers=WITH_KEY, trust_env=False) as client:
        events = list(follow(client, name))
    assert [each.name for each in events] == ["status", "end"]
    assert events[0].data["status_url"] == submitted[1]["status_url"]


def test_documentation_has_the_public_address(http: httpx.Client) -> None:
    page = http.get(f"{PREFIX}/docs")
    assert page.status_code == 200
    assert f'"{PREFIX}/openapi.json"' in page.text
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 4
    for link in links:
        assert link.startswith(PREFIX + "/")
        assert http.get(link, headers={"Authorization": ""}).status_code == 200, link
    document = http.get(f"{PREFIX}/openapi.json").json()
    assert document["servers"] == [{"url": PREFIX}]
    assert "/jobs" in document["paths"]


def test_page_has_the_public_address_with_and_without_a_final_slash(http: httpx.Client) -> None:
    for start in (PREFIX, PREFIX + "/"):
        page = http.get(start, headers={"Authorization": ""})
        assert page.status_code == 200
        assert f'<base href="{PREFIX}/">' in page.text
        links = re.findall(r'(?:src|href)="([^"]+/page/[^"]+)"', page.text)
        assert len(links) >= 4
        for link in links:
            assert link.startswith(PREFIX + "/")
            assert http.get(link, headers={"Authorization": ""}).status_code == 200, link


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/jobs/", "did you mean /darkroom/jobs?"),
        ("/images/abc", "did you mean /darkroom/images?task_id=abc?"),
        ("/nowhere", "no endpoint has this path."),
    ],
)
def test_unknown_path_gets_a_suggestion_with_the_root_path(http: httpx.Client, path: str, advice: str) -> None:
    response = http.get(PREFIX + path)
    assert response.status_code == 404
    listed = f"The endpoints are listed at {PREFIX}/docs."
    assert response.json()["detail"] == f"GET {PREFIX}{path}: {advice} {listed}"


def test_wrong_method_gets_the_allowed_ones(http: httpx.Client) -> None:
    response = http.post(f"{PREFIX}/jobs/some-job")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET")
    assert response.json()["detail"].startswith(f"POST {PREFIX}/jobs/some-job: use DELETE or GET.")


def test_keys_are_required_except_for_open_paths(http: httpx.Client) -> None:
    for path, status in (("/jobs", 401), ("/docs", 200), ("/openapi.json", 200), ("/healthz", 200), ("/healthzz", 401)):
        assert http.get(PREFIX + path, headers={"Authorization": ""}).status_code == status, path


def test_body_limit_applies(http: httpx.Client) -> None:
    files = {"files": ("1.jpg", bytes(2 * SMALL_BYTES), "image/jpeg")}
    response = http.post(f"{PREFIX}/train", params={"prompt": "a dog", "model_id": "dog"}, files=files)
    assert response.status_code == 413
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_probes_work_without_the_root_path(backend: Any) -> None:
    assert backend.http.get("/healthz").json() == {"status": "ok"}
    assert backend.http.get("/readyz").status_code == 200
    assert backend.http.get("/jobs").status_code == 401


def test_metrics_have_paths_without_the_root_path(http: httpx.Client, metrics_port: int) -> None:
    for path in ("/jobs", "/jobs/nobody-1", "/jobs/nobody-2", "/jobs/nobody-3/", "/nowhere/1", "/healthz"):
        http.get(PREFIX + path)
    text = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", trust_env=False).text
    handlers = {part.split('"')[0] for part in text.split('handler="')[1:]}
    assert {"/jobs", "/jobs/{task_id}", "none"} <= handlers
    assert not [each for each in handlers if "nobody" in each or "darkroom" in each or "healthz" in each]


@pytest.mark.parametrize(("text", "read"), [("", ""), ("/", ""), ("/darkroom", "/darkroom"), ("/a/b-1/", "/a/b-1")])
def test_valid_root_paths_are_accepted(text: str, read: str) -> None:
    assert Settings.from_environment({"DARKROOM_GATEWAY_ROOT_PATH": text}).root_path == read


@pytest.mark.parametrize(
    "text",
    [
        "darkroom",
        "https://host/darkroom",
        "/a//b",
        "/../a",
        "/a b",
        "/a?b",
        "/%41",
        "/jobs",
        "/train/x",
        "/docs/",
        "/page",
    ],
)
def test_invalid_root_paths_are_named(text: str) -> None:
    with pytest.raises(SettingsError, match="DARKROOM_GATEWAY_ROOT_PATH is "):
        Settings.from_environment({"DARKROOM_GATEWAY_ROOT_PATH": text})
