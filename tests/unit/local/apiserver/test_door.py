"""Who is let in."""

from pathlib import Path

import httpx
import pytest
from support.kube_api import ApiServer

PODS = "/api/v1/namespaces/default/pods"


def status(server: ApiServer, path: str, authorization: str | None = None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return httpx.get(f"{server.url}{path}", headers=headers, trust_env=False).status_code


def test_without_a_token_nobody_is_let_in(shared: ApiServer) -> None:
    answer = httpx.get(f"{shared.url}{PODS}", trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["reason"] == "Unauthorized"


def test_the_token_is_taken_from_the_header(shared: ApiServer) -> None:
    assert status(shared, PODS, f"Bearer {shared.token}") == 200


def test_the_token_is_taken_from_the_path_where_there_is_no_header(shared: ApiServer) -> None:
    assert status(shared, f"/{shared.token}{PODS}") == 200


@pytest.mark.parametrize("authorization", ["Bearer wrong", "", "Bearer", "Basic dXNlcg=="])
def test_a_wrong_header_is_refused_whatever_the_path_says(shared: ApiServer, authorization: str) -> None:
    assert status(shared, PODS, authorization) == 401
    assert status(shared, f"/{shared.token}{PODS}", authorization) == 401


@pytest.mark.parametrize("prefix", ["/wrong", "/", "//", "/%00"])
def test_a_wrong_path_is_refused(shared: ApiServer, prefix: str) -> None:
    assert status(shared, f"{prefix}{PODS}") == 401


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_whether_it_lives_is_told_to_everybody(shared: ApiServer, path: str) -> None:
    assert status(shared, path) == 200
    assert status(shared, f"/{shared.token}{path}") == 200


def test_it_listens_on_the_loopback_address_only(shared: ApiServer) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = [each[1] for each in listening if each[3] == "0A" and each[1].endswith(f":{shared.port:04X}")]
    assert local == [f"0100007F:{shared.port:04X}"]
