"""Every response has no-store and nosniff, and a link's signature covers the media type of its download."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from support.event_streams import StreamedJob

from darkroom_contract.names import Kind
from darkroom_gateway.app import create_app
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.download_headers import OPAQUE, response_parameters, served_type
from darkroom_runner.run.result_files import CONTENT_TYPES

HTML = b"<script>alert(1)</script>"


def assert_safe(response: httpx.Response) -> None:
    assert response.headers.get_list("cache-control") == ["no-store"], response.request.url
    assert response.headers.get_list("x-content-type-options") == ["nosniff"], response.request.url


def test_every_response_has_no_store_and_nosniff(http: httpx.Client, secured: Any, cluster: Any, job_name: str) -> None:
    cluster.create(Kind.GENERATE, job_name, {"prompt": "a dog"})
    answers = [
        http.get("/jobs"),
        http.get(f"/jobs/{job_name}"),
        http.get(f"/images?task_id={job_name}"),
        http.get(f"/jobs/{job_name}/log"),
        http.get("/models"),
        http.get("/healthz"),
        http.get("/readyz"),
        http.get("/docs"),
        http.get("/openapi.json"),
        http.post("/generate/sdxl?prompt=a"),
        http.post("/generate/sdxl"),
        http.post("/train?prompt=a&model_id=b"),
        http.delete(f"/jobs/{job_name}"),
        http.get("/nowhere"),
        http.put("/jobs"),
        secured.http.get("/jobs"),
    ]

    statuses = [each.status_code for each in answers]
    assert statuses == [200, 200, 200, 404, 200, 200, 200, 200, 200, 202, 422, 422, 204, 404, 405, 401]
    for each in answers:
        assert_safe(each)


def test_event_stream_is_not_cached(http: httpx.Client, streamed_job: StreamedJob) -> None:
    with http.stream("GET", f"/jobs/{streamed_job.name}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert_safe(response)


def test_unexpected_error_has_the_headers_too(kubeconfig_of_nowhere: Path) -> None:
    app = create_app(Settings(kubeconfig=str(kubeconfig_of_nowhere)))

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError

    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        response = client.get("/broken", headers={"X-Request-ID": "mine"})
    assert response.status_code == 500
    assert_safe(response)
    assert response.headers.get_list("x-request-id") == ["mine"]


@pytest.fixture
def linked(http: httpx.Client, cluster: Any, bucket: Any, job_name: str) -> Any:
    """The response for a generation whose only file has the given media type."""

    def make(name: str, content_type: str) -> dict[str, Any]:
        key = f"runs/{job_name}/{name}"
        bucket.put_object(Bucket="darkroom", Key=key, Body=HTML, ContentType="text/html")
        artifact = {"key": key, "contentType": content_type, "bytes": len(HTML), "sha256": "0" * 64}
        cluster.create(Kind.GENERATE, job_name, {"prompt": "a dog"})
        cluster.set_status(Kind.GENERATE, job_name, phase="Succeeded", artifacts=[artifact])
        [file] = http.get("/images", params={"task_id": job_name}).json()["files"]
        return dict(file)

    return make


def download(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False)


def test_download_has_the_signed_media_type(linked: Any) -> None:
    file = linked("1.png", "image/png")

    response = download(file["url"])

    assert (response.status_code, response.content) == (200, HTML)
    assert response.headers["content-type"] == file["content_type"] == "image/png"
    assert response.headers["content-disposition"] == 'inline; filename="1.png"'


def test_link_with_a_changed_media_type_is_invalid(linked: Any) -> None:
    url = linked("1.png", "image/png")["url"]
    assert "response-content-type=image%2Fpng" in url
    name = "response-content-type"

    for changed in (f"{name}=text%2Fhtml", f"{name}=image%2Fpng&{name}=text%2Fhtml", f"{name}="):
        assert download(url.replace(f"{name}=image%2Fpng", changed)).status_code == 403
    assert download(url.replace(f"{name}=image%2Fpng&", "")).status_code == 403
    assert download(url.replace("=inline", "=attachment")).status_code == 403
    assert download(url).status_code == 200


def test_executable_media_type_is_served_as_octet_stream(linked: Any) -> None:
    file = linked("1.html", "text/html")

    response = download(file["url"])

    assert response.headers["content-type"] == file["content_type"] == OPAQUE
    assert response.headers["content-disposition"] == 'attachment; filename="1.html"'


@pytest.mark.parametrize(
    "content_type", ["text/html", "image/svg+xml", "application/xml", "IMAGE/PNG", "image/png; a=b"]
)
def test_unknown_media_type_is_served_as_octet_stream(content_type: str) -> None:
    assert served_type(content_type) == OPAQUE


def test_media_types_of_runs_are_kept() -> None:
    assert {served_type(each) for each in CONTENT_TYPES.values()} == set(CONTENT_TYPES.values())


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "image/webp", "image/avif", "video/mp4"])
def test_every_format_of_images_and_clips_is_shown_by_browsers(content_type: str) -> None:
    assert served_type(content_type) == content_type
    assert response_parameters("runs/1/a", content_type)["ResponseContentDisposition"].startswith("inline")


def test_file_name_can_not_break_out_of_its_header() -> None:
    parameters = response_parameters('runs/1/a";\r\nx: "b\u00e9.png', "image/png")

    assert parameters["ResponseContentDisposition"] == 'inline; filename="a____x___b_.png"'
