"""Authentication of requests."""

from pathlib import Path

import httpx
import pytest
from support.kube_api import ApiServer

PODS = "/api/v1/namespaces/default/pods"


def status(server: ApiServer, path: str, authorization: str | None = None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return httpx.get(f"{server.url}{path}", headers=headers, trust_env=False).status_code


def test_request_without_a_token_is_rejected(shared: ApiServer) -> None:
    answer = httpx.get(f"{shared.url}{PODS}", trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["reason"] == "Unauthorized"


def test_token_in_the_header_is_accepted(shared: ApiServer) -> None:
    assert status(shared, PODS, f"Bearer {shared.token}") == 200


def test_token_in_the_path_is_accepted_without_a_header(shared: ApiServer) -> None:
    assert status(shared, f"/{shared.token}{PODS}") == 200


@pytest.mark.parametrize("authorization", ["Bearer wrong", "", "Bearer", "Basic dXNlcg=="])
def test_wrong_header_is_rejected_despite_a_valid_path(shared: ApiServer, authorization: str) -> None:
    assert status(shared, PODS, authorization) == 401
    assert status(shared, f"/{shared.token}{PODS}", authorization) == 401


@pytest.mark.parametrize("prefix", ["/wrong", "/", "//", "/%00"])
def test_wrong_token_in_the_path_is_rejected(shared: ApiServer, prefix: str) -> None:
    assert status(shared, f"{prefix}{PODS}") == 401


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_endpoints_need_no_token(shared: ApiServer, path: str) -> None:
    assert status(shared, path) == 200
    assert status(shared, f"/{shared.token}{path}") == 200


def test_server_listens_on_loopback_only(shared: ApiServer) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = [each[1] for each in listening if each[3] == "0A" and each[1].endswith(f":{shared.port:04X}")]
    assert local == [f"0100007F:{shared.port:04X}"]
