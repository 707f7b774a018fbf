"""A gateway without keys refuses foreign host names and cross-site changes."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.raw_http import Connection, post

from darkroom_gateway.errors import SettingsError
from darkroom_gateway.http.host_names import HostNames, own_host_names
from darkroom_gateway.http.origin_check import origin_error
from darkroom_gateway.settings import Settings

ON_LOOPBACK = own_host_names((), on_loopback=True, open_to_all=True)
BEHIND_A_NAME = own_host_names(("Darkroom.example.org", "*.studio.example"), on_loopback=False, open_to_all=True)


def problem(
    own: HostNames,
    method: str = "GET",
    version: str = "1.1",
    trusted: frozenset[str] = frozenset(),
    **headers: str | list[str],
) -> str | None:
    """The name of the error for a request to a gateway without keys."""
    pairs = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    scope = {"type": "http", "method": method, "path": "/jobs", "http_version": version, "headers": pairs}
    found = origin_error(scope, own, open_to_all=True, trusted=trusted)
    return None if found is None else type(found).__name__


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1",
        "127.0.0.1:8000",
        "127.8.8.8:1",
        "[::1]",
        "[::1]:8000",
        "localhost.:80",
    ],
)
def test_loopback_names_are_accepted_with_any_port(host: str) -> None:
    assert problem(ON_LOOPBACK, host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.7:8000"),
        *("10.0.0.1", "[2001:db8::1]", "", "127.0.0.1@evil.example", "xlocalhost", "[::1", "0x7f.1"),
    ],
)
def test_other_names_on_loopback_are_refused(host: str) -> None:
    assert problem(ON_LOOPBACK, host=host) == "ForeignHostError"


@pytest.mark.parametrize(
    "host", ["darkroom.example.org", "a.studio.example", "a.b.studio.example:443", "localhost", "10.0.0.7:8000"]
)
def test_configured_names_and_pod_addresses_are_accepted(host: str) -> None:
    assert problem(BEHIND_A_NAME, host=host) is None


@pytest.mark.parametrize(
    "host", ["example.org", "studio.example", "evilstudio.example", "darkroom.example.org.evil.example"]
)
def test_names_that_are_not_configured_are_refused(host: str) -> None:
    assert problem(BEHIND_A_NAME, host=host) == "ForeignHostError"


def test_all_names_are_accepted_off_loopback_or_with_keys_by_default() -> None:
    elsewhere = own_host_names((), on_loopback=False, open_to_all=True)
    with_keys = own_host_names((), on_loopback=True, open_to_all=False)
    any_name = own_host_names(("*",), on_loopback=True, open_to_all=True)

    assert [problem(own, host="a.example") for own in (elsewhere, with_keys, any_name)] == [None, None, None]


def test_exactly_one_host_header_is_required_except_in_http_1_0() -> None:
    assert problem(ON_LOOPBACK) == "MalformedRequestError"
    assert problem(ON_LOOPBACK, host=["localhost", "localhost"]) == "MalformedRequestError"
    assert problem(ON_LOOPBACK, version="1.0") is None
    assert problem(ON_LOOPBACK, version="1.0", host="evil.example") == "ForeignHostError"


CROSS_SITE = [
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "cross-site", "origin": "http://localhost:8000"},
    {"sec_fetch_site": ["same-origin", "cross-site"]},
    {"sec_fetch_site": ""},
    {"origin": "http://evil.example"},
    {"origin": "http://localhost:3000"},
    {"origin": "http://localhost"},
    {"origin": "null"},
    {"origin": "file://"},
    {"origin": "http://localhost:8000.evil.example"},
    {"origin": "http://localhost:port"},
    {"origin": ["http://localhost:8000", "http://evil.example"]},
]
SAME_SITE = [
    {},
    {"sec_fetch_site": "same-origin"},
    {"sec_fetch_site": "none"},
    {"sec_fetch_site": "same-origin", "origin": "https://proxied.example"},
    {"origin": "http://localhost:8000"},
    {"origin": "http://LocalHost:8000"},
]


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize("headers", CROSS_SITE)
def test_cross_site_changes_are_refused(headers: Any, method: str) -> None:
    assert problem(ON_LOOPBACK, method, host="localhost:8000", **headers) == "CrossSiteError"


@pytest.mark.parametrize("headers", SAME_SITE)
def test_changes_by_programs_and_same_origin_pages_are_accepted(headers: Any) -> None:
    assert problem(ON_LOOPBACK, "POST", host="localhost:8000", **headers) is None


def test_origin_with_another_scheme_is_accepted_behind_tls_termination() -> None:
    assert problem(BEHIND_A_NAME, "POST", host="darkroom.example.org", origin="https://darkroom.example.org") is None


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_cross_site_reads_are_accepted(headers: Any) -> None:
    assert problem(ON_LOOPBACK, "GET", host="localhost:8000", **headers) is None


def test_cross_site_changes_are_accepted_with_api_keys() -> None:
    headers = [(b"host", b"a"), (b"sec-fetch-site", b"cross-site")]
    scope = {"type": "http", "method": "POST", "path": "/", "http_version": "1.1", "headers": headers}

    assert origin_error(scope, own_host_names((), on_loopback=True, open_to_all=False), open_to_all=False) is None


@pytest.mark.parametrize(
    "text", ["http://a.example", "a.example:80", "a..b", "a/b", "**.a", "[::1]", "a.*.b", "ä.example"]
)
def test_invalid_host_name_in_the_setting_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"DARKROOM_GATEWAY_ALLOWED_HOSTS: .*is not a host name"):
        Settings.from_environment({"DARKROOM_GATEWAY_ALLOWED_HOSTS": text})


def test_names_are_separated_by_commas_or_spaces() -> None:
    settings = Settings.from_environment({"DARKROOM_GATEWAY_ALLOWED_HOSTS": "a.example, *.b.example  ::1"})
    assert settings.allowed_hosts == ("a.example", "*.b.example", "::1")


# ---- On the wire ----


@pytest.fixture(scope="module")
def open_gateway(start_gateway: Any, kubeconfig_of_nowhere: Path, nowhere: str) -> Iterator[Any]:
    environment = {"KUBECONFIG": str(kubeconfig_of_nowhere), "DARKROOM_S3_ENDPOINT_URL": nowhere}
    with start_gateway(environment | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}) as started:
        yield started


@pytest.mark.parametrize("path", ["/healthz", "/jobs", "/docs", "/nowhere"])
def test_rebound_name_is_refused(open_gateway: Any, path: str) -> None:
    answer: httpx.Response = open_gateway.http.get(path, headers={"Host": "evil.example:8000"})

    assert answer.status_code == 421
    assert answer.json()["type"].endswith(":ForeignHost")
    assert "DARKROOM_GATEWAY_ALLOWED_HOSTS" in answer.json()["detail"]
    assert answer.headers["x-request-id"]


def test_cross_site_form_creates_no_training_and_its_photos_are_not_read(open_gateway: Any) -> None:
    url: httpx.URL = open_gateway.http.base_url
    head = post(
        "/train?prompt=a&model_id=dog",
        *("Origin: https://evil.example", "Sec-Fetch-Site: cross-site"),
        *("Content-Type: multipart/form-data; boundary=b", "Content-Length: 5000000"),
    )
    assert url.port is not None
    with Connection(url.port) as connection:
        connection.send(head, b"x" * 1000)
        answer = connection.answer()

    assert (answer.status, answer.problem) == (403, "CrossSite")


def test_openapi_document_is_served_under_the_gateways_names(open_gateway: Any) -> None:
    port = open_gateway.http.base_url.port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert open_gateway.http.get("/openapi.json", headers={"Host": host}).status_code == 200


def test_http_1_0_probe_needs_no_host(open_gateway: Any) -> None:
    with socket.create_connection(("127.0.0.1", open_gateway.http.base_url.port), timeout=30) as probe:
        probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert probe.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_only_pages_of_trusted_origins_may_change_anything_across_origins(headers: Any) -> None:
    trusted = frozenset({"http://evil.example"})
    found = problem(ON_LOOPBACK, "POST", trusted=trusted, host="localhost:8000", **headers)

    assert found == (None if headers.get("origin") == "http://evil.example" else "CrossSiteError")
