"""CORS: closed by default; named origins may call the gateway from their pages, with and without API keys."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from darkroom_gateway.app import create_app
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.http.origins import read_origins
from darkroom_gateway.settings import Settings

STUDIO = "https://studio.example.org"
KEY = "0123456789abcdef0123456789abcdef"
PREFLIGHT = {
    "Origin": STUDIO,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,prefer",
}

Gateway = Callable[..., TestClient]


@pytest.fixture
def gateway(kubeconfig_of_nowhere: Path, tmp_path: Path) -> Gateway:
    """A gateway in this process, without backends."""
    (tmp_path / "alice").write_text(KEY)

    def make(origins: str, *, keys: bool = False) -> TestClient:
        environment = {
            "KUBECONFIG": str(kubeconfig_of_nowhere),
            "DARKROOM_GATEWAY_CORS_ORIGINS": origins,
            "DARKROOM_GATEWAY_API_KEYS_DIR": str(tmp_path) if keys else "",
        }
        return TestClient(create_app(Settings.from_environment(environment)), base_url="http://127.0.0.1")

    return make


def cors_headers(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


def test_no_response_has_a_cors_header_by_default(gateway: Gateway) -> None:
    client = gateway("")

    preflight = client.options("/generate/sdxl", headers=PREFLIGHT)

    assert preflight.status_code == 405
    assert cors_headers(preflight) == cors_headers(client.get("/healthz", headers={"Origin": STUDIO})) == {}


def test_preflight_needs_no_api_key(gateway: Gateway) -> None:
    response = gateway(STUDIO, keys=True).options("/generate/sdxl", headers=PREFLIGHT)

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == STUDIO
    assert "Origin" in response.headers["vary"]
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in response.headers


def test_page_of_a_named_origin_reads_responses_and_errors(gateway: Gateway) -> None:
    client = gateway(f"http://localhost:5173, {STUDIO}", keys=True)

    for response in (
        client.get("/healthz", headers={"Origin": STUDIO}),
        client.get("/jobs", headers={"Origin": STUDIO}),  # 401
        client.post("/generate/sdxl", headers={"Origin": STUDIO, "Authorization": f"Bearer {KEY}"}),  # 422
    ):
        assert response.headers["access-control-allow-origin"] == STUDIO, response.status_code
        exposed = response.headers["access-control-expose-headers"].split(", ")
        assert {"Location", "Retry-After", "Link", "RateLimit", "X-Request-ID"} <= set(exposed)


def test_page_of_a_named_origin_may_change_jobs_without_keys(gateway: Gateway) -> None:
    client = gateway(STUDIO)
    cross_site = {"Sec-Fetch-Site": "cross-site"}

    accepted = client.post("/generate/sdxl", headers={"Origin": STUDIO, **cross_site})
    refused = client.post("/generate/sdxl", headers={"Origin": "https://evil.example", **cross_site})

    assert accepted.status_code == 422  # The prompt is missing.
    assert refused.status_code == 403
    assert "DARKROOM_GATEWAY_CORS_ORIGINS" in refused.json()["detail"]
    assert "access-control-allow-origin" not in refused.headers


def test_page_of_another_origin_gets_no_permission(gateway: Gateway) -> None:
    client = gateway(STUDIO)
    for origin in ("https://evil.example", "http://studio.example.org", "https://studio.example.org.evil.example"):
        preflight = client.options("/jobs", headers={**PREFLIGHT, "Origin": origin})
        assert preflight.status_code == 400
        assert "access-control-allow-origin" not in preflight.headers
        assert "access-control-allow-origin" not in client.get("/healthz", headers={"Origin": origin}).headers


def test_every_origin_may_be_allowed_only_with_api_keys(gateway: Gateway) -> None:
    response = gateway("*", keys=True).get("/healthz", headers={"Origin": STUDIO})
    assert response.headers["access-control-allow-origin"] == "*"

    with pytest.raises(SettingsError, match="has no API keys"):
        gateway("*")


def test_origins_are_read_as_browsers_send_them() -> None:
    assert read_origins("https://Studio.example.org:443,http://[::1]:8080 http://a:80") == (
        STUDIO,
        "http://[::1]:8080",
        "http://a",
    )


@pytest.mark.parametrize("text", ["studio.example.org", "https://a/", "https://a/b", "https://*.a", "null", "ftp://a"])
def test_anything_but_an_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        read_origins(text)
