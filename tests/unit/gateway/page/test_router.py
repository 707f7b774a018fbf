"""`/` and `/page/...`, with and without API keys."""

import gzip
import re
from typing import Any

import httpx
import pytest

from darkroom_gateway.page.router import FILES, IMMUTABLE, REVALIDATED

ROOT = f"/page/{FILES.version}"
SCRIPT = f"{ROOT}/js/main.js"


@pytest.fixture(scope="module", params=["open", "secured"])
def client(request: pytest.FixtureRequest, http: httpx.Client, secured: Any) -> httpx.Client:
    """Clients without a key: of a gateway without keys, and of one with keys."""
    return {"open": http, "secured": secured.http}[request.param]


def test_page_and_all_its_files_need_no_key(client: httpx.Client) -> None:
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<base href="/">' in page.text
    for name, file in FILES.files.items():
        response = client.get(f"{ROOT}/{name}")
        assert (response.status_code, response.content) == (200, file.content), name
        assert response.headers["content-type"] == file.media_type
        assert response.headers.get_list("x-content-type-options") == ["nosniff"]


def test_page_refers_to_no_other_host_and_has_no_inline_script(http: httpx.Client) -> None:
    page = http.get("/").text

    assert "//" not in page
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=", page) == []
    for link in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert http.get("/" + link.lstrip("/")).status_code == 200, link


def test_page_allows_pictures_from_object_storage_and_no_inline_script(http: httpx.Client, s3_server: Any) -> None:
    policy = http.get("/").headers["content-security-policy"]
    directives = {name: rest.split() for name, _, rest in (each.strip().partition(" ") for each in policy.split(";"))}

    assert f"http://localhost:{s3_server.port}" in directives["img-src"]
    assert directives["default-src"] == ["'self'"]
    assert "script-src" not in directives
    assert http.get("/").headers["x-frame-options"] == "DENY"


def test_files_may_be_kept_for_a_year_and_the_page_is_revalidated(http: httpx.Client) -> None:
    assert http.get(SCRIPT).headers.get_list("cache-control") == [IMMUTABLE]
    assert http.get("/").headers.get_list("cache-control") == [REVALIDATED]


@pytest.mark.parametrize("start", ["/page/0123456789ab", "/page"])
def test_index_of_another_replica_gets_files_that_are_revalidated(http: httpx.Client, start: str) -> None:
    response = http.get(f"{start}/js/main.js")

    assert (response.status_code, response.content) == (200, FILES.files["js/main.js"].content)
    assert response.headers["cache-control"] == REVALIDATED


@pytest.mark.parametrize("path", ["/", SCRIPT])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_unchanged_file_is_not_sent_again(http: httpx.Client, path: str, encoding: str) -> None:
    asked = {"Accept-Encoding": encoding}
    first = http.get(path, headers=asked)

    for tag in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = http.get(path, headers={**asked, "If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert {name: again.headers[name] for name in ("etag", "cache-control", "vary")} == {
            name: first.headers[name] for name in ("etag", "cache-control", "vary")
        }
    assert http.get(path, headers={**asked, "If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("br, GZIP;q=0.5", "gzip"),
        ("br", None),
        ("gzip;q=0", None),
        ("gzip; q=0.000, identity", None),
        ("x-gzip", None),
    ],
)
def test_file_is_compressed_for_clients_that_accept_it(http: httpx.Client, accepted: str, encoding: str | None) -> None:
    with http.stream("GET", f"{ROOT}/vendor/uPlot.js", headers={"Accept-Encoding": accepted}) as response:
        sent = b"".join(response.iter_raw())

    assert response.headers.get("content-encoding") == encoding
    assert "Accept-Encoding" in response.headers["vary"]
    assert (gzip.decompress(sent) if encoding else sent) == FILES.files["vendor/uPlot.js"].content
    assert int(response.headers["content-length"]) == len(sent)


def test_tags_of_compressed_and_uncompressed_files_differ(http: httpx.Client) -> None:
    tags = {http.get("/", headers={"Accept-Encoding": each}).headers["etag"] for each in ("gzip", "identity")}
    assert len(tags) == 2


def test_head_has_the_headers_and_no_body(http: httpx.Client) -> None:
    for path in ("/", SCRIPT):
        got, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert {**head.headers, "date": "", "x-request-id": ""} == {**got.headers, "date": "", "x-request-id": ""}


@pytest.mark.parametrize(
    "path",
    [f"{ROOT}/nothing.js", f"{ROOT}/", f"{ROOT}/index.html", f"{ROOT}/%2e%2e/router.py", "/page/x/..%2f/files.py"],
)
def test_unknown_file_gets_a_404(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("accepted", ["application/json", "application/problem+json, application/json"])
def test_client_that_accepts_only_json_gets_the_description_of_the_api(client: httpx.Client, accepted: str) -> None:
    response = client.get("/", headers={"Accept": accepted})
    assert (response.status_code, response.headers["location"]) == (307, "/openapi.json")


@pytest.mark.parametrize("accepted", ["*/*", "text/html,application/json", "application/json, text/plain, */*"])
def test_every_other_client_gets_the_page(http: httpx.Client, accepted: str) -> None:
    response = http.get("/", headers={"Accept": accepted})
    assert response.status_code == 200
    assert "Accept" in response.headers["vary"]
