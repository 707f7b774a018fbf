"""`/docs` works without internet access, with and without API keys."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module", params=["open", "secured"])
def client(request: pytest.FixtureRequest, http: httpx.Client, secured: Any) -> httpx.Client:
    """Clients without a key: of a gateway without keys, and of one with keys."""
    return {"open": http, "secured": secured.http}[request.param]


def test_page_refers_to_no_other_host_and_has_no_inline_script(client: httpx.Client) -> None:
    page = client.get("/docs").text

    assert "//" not in page.replace("<!DOCTYPE html>", "")
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    assert "<style" not in page


def test_all_files_of_the_page_need_no_key(client: httpx.Client) -> None:
    page = client.get("/docs").text
    types = {}
    for link in re.findall(r'(?:src|href|data-openapi-url)="([^"]+)"', page):
        response = client.get(link)
        assert response.status_code == 200, link
        types[link.split("?")[0]] = response.headers["content-type"].split(";")[0]

    assert types == {
        "/docs/swagger-ui.css": "text/css",
        "/docs/swagger-ui-bundle.js": "text/javascript",
        "/docs/start.js": "text/javascript",
        "/docs/favicon-32x32.png": "image/png",
        "/openapi.json": "application/json",
    }


def test_browsers_cache_the_files_but_not_the_page(client: httpx.Client) -> None:
    assert client.get("/docs").headers["cache-control"] == "no-store"
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert client.get(f"/docs/{name}").headers.get_list("cache-control") == ["public, max-age=86400"]
        assert client.head(f"/docs/{name}").status_code == 200


def test_content_security_policy_allows_only_the_own_host(client: httpx.Client) -> None:
    headers = client.get("/docs").headers
    policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert {source for each in policy.values() for source in each.split()} <= {
        "'self'",
        "'none'",
        "'unsafe-inline'",
        "data:",
    }
    assert "unsafe-inline" not in policy["script-src"]
    assert headers["referrer-policy"] == "no-referrer"


def test_external_validator_is_off(client: httpx.Client) -> None:
    script = client.get("/docs/start.js").text

    assert '"validatorUrl": null' in script
    assert "//" not in script


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_browser_without_internet_shows_every_operation(client: httpx.Client, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=20000"]
    options += [f"--user-data-dir={tmp_path}", "--no-proxy-server"]
    # Other hosts are not resolved.
    options += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    shown = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", f"{client.base_url}/docs"], capture_output=True, text=True, timeout=200
    )

    page = re.sub(r"<[^>]*>|\u200b", "", shown.stdout)
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page, path
    assert "CONSOLE" not in shown.stderr, shown.stderr
