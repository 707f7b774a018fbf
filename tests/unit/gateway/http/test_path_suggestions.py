"""Responses to unknown paths and methods suggest the probable ones."""

from pathlib import Path

import httpx
import pytest

from darkroom_gateway.app import create_app
from darkroom_gateway.http.path_suggestions import (
    MAX_PATH_CHARACTERS,
    Endpoint,
    allowed_methods,
    endpoints_of,
    shown,
    suggest,
)
from darkroom_gateway.settings import Settings


@pytest.fixture(scope="module")
def endpoints(kubeconfig_of_nowhere: Path) -> list[Endpoint]:
    return endpoints_of(create_app(Settings(kubeconfig=str(kubeconfig_of_nowhere))))


@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("/jobs/", "/jobs"),
        ("/jobs//", "/jobs"),
        ("//jobs", "/jobs"),
        ("/jobs/train-1/", "/jobs/train-1"),
        ("/jobs//train-1", "/jobs/train-1"),
        ("/docs/", "/docs"),
        ("/Jobs", "/jobs"),
        ("/JOBS/train-1/Events/", "/jobs/train-1/events"),
        ("/Generate/SDXL", "/generate/sdxl"),
        ("/images/train-1", "/images?task_id=train-1"),
        ("/result/train-1/", "/result?task_id=train-1"),
        ("/Images/a b", "/images?task_id=a%20b"),
        ("/job/x", "/jobs/{task_id}"),
        ("/job", "/jobs"),
        ("/jobs/x/event", "/jobs/{task_id}/events"),
        ("/jobs/x/logs", "/jobs/{task_id}/log"),
        ("/image", "/images"),
        ("/results", "/result"),
        ("/model", "/models"),
        ("/generate", "/generate/sdxl"),
        ("/generate/lor", "/generate/lora"),
        ("/v1/job", "/v1/jobs"),
        ("/openapi", "/openapi.json"),
        ("/doc", "/docs"),
        ("/docs/swagger-ui.js", None),
        ("/wp-login.php", None),
        ("/favicon.ico", None),
        ("/metrics", None),
        ("/jobs/" + "x" * MAX_PATH_CHARACTERS + "/", None),
    ],
)
def test_most_similar_path_is_suggested(endpoints: list[Endpoint], path: str, suggestion: str | None) -> None:
    assert suggest(endpoints, path) == suggestion


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/jobs/train-1", ["DELETE", "GET"]),
        ("/jobs", ["GET"]),
        ("/train", ["POST"]),
        ("/docs", ["GET", "HEAD"]),
        ("/jobs/", []),
        ("/Jobs", []),
        ("/jobs//log", []),
    ],
)
def test_methods_of_a_path_are_those_of_all_its_routes(
    endpoints: list[Endpoint], path: str, methods: list[str]
) -> None:
    assert allowed_methods(endpoints, path) == methods


def test_path_in_messages_is_encoded_and_truncated() -> None:
    assert shown("/a b\n\u2028/\u00e9") == "/a%20b%0A%E2%80%A8/%C3%A9"
    assert len(shown("/" + "x" * 10_000)) == MAX_PATH_CHARACTERS + 3


@pytest.mark.parametrize(
    ("method", "path", "status", "start"),
    [
        ("GET", "/train", 405, "GET /train: use POST."),
        ("PUT", "/jobs/a", 405, "PUT /jobs/a: use DELETE or GET."),
        ("PROPFIND", "/jobs/a/log", 405, "PROPFIND /jobs/a/log: use GET."),
        ("GET", "/job/x", 404, "GET /job/x: did you mean /jobs/{task_id}?"),
        ("DELETE", "/jobs/x/", 404, "DELETE /jobs/x/: did you mean /jobs/x?"),
        ("GET", "/images/abc", 404, "GET /images/abc: did you mean /images?task_id=abc?"),
        ("GET", "/%C3%A9", 404, "GET /%C3%A9: no endpoint has this path."),
    ],
)
def test_response_suggests_the_path_or_method(
    http: httpx.Client, method: str, path: str, status: int, start: str
) -> None:
    response = http.request(method, path)

    assert (response.status_code, response.json()["status"]) == (status, status)
    assert response.json()["detail"] == f"{start} The endpoints are listed at /docs."


def test_allow_header_has_the_described_methods_of_each_path(http: httpx.Client) -> None:
    """The Allow header of a path has exactly the methods of the OpenAPI document."""
    paths = http.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        response = http.request("PROPFIND", path.replace("{task_id}", "some-job"))
        assert response.status_code == 405
        assert response.headers["allow"] == ", ".join(sorted(method.upper() for method in operations)), path


def test_slashes_cause_no_redirect(http: httpx.Client) -> None:
    for path in http.get("/openapi.json").json()["paths"]:
        response = http.get(path.replace("{task_id}", "some-job") + "/")
        assert (response.status_code, "location" in response.headers) == (404, False)
