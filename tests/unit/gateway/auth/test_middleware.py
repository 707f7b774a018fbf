"""A gateway with API keys refuses requests without one, and labels jobs with the name of their key."""

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.waiting import waiter

from darkroom_contract.names import LABEL_SUBMITTED_BY, Kind

wait_until = waiter(10)

OPEN = {"GET /healthz", "GET /readyz"}
UPLOAD_BYTES = 8 * 1024**2


@pytest.fixture(scope="module")
def openapi(secured: Any) -> dict[str, Any]:
    document: dict[str, Any] = secured.http.get("/openapi.json").json()
    return document


def assert_refused(response: httpx.Response, words: str) -> None:
    assert response.status_code == 401, response.text
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"].endswith(":Unauthorized")
    assert words in response.json()["detail"]


def draw(secured: Any, name: str, **headers: str) -> str:
    response = secured.http.post("/generate/sdxl?prompt=a", headers={**secured.key(name), **headers})
    assert response.status_code == 202, response.text
    task_id: str = response.json()["task_id"]
    return task_id


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "requires an API key"),
        ([b""], "does not use the Bearer scheme"),
        ([b"Bearer"], "not valid for this gateway"),
        ([b"Bearer " + b"x" * 10_000], "not valid for this gateway"),
        (["Bearer schlüssel-des-hauses".encode()], "not valid for this gateway"),
        ([b"Bearer \xff\xfe\x80-no-text-at-all"], "not valid for this gateway"),
        ([b"Basic YWxpY2U6YWxpY2U="], "does not use the Bearer scheme"),
        ([b"Bearer one", b"Bearer two"], "has 2 Authorization headers: send one"),
    ],
)
def test_request_without_a_valid_key_is_refused(secured: Any, values: list[bytes], words: str) -> None:
    headers = [(b"Authorization", value) for value in values]

    assert_refused(secured.http.get("/jobs", headers=headers), words)


@pytest.mark.parametrize("parameter", ["api_key", "access_token", "Token"])
def test_key_in_the_url_is_ignored(secured: Any, parameter: str) -> None:
    response = secured.http.get("/jobs", params={parameter: secured.secrets["alice"]})

    assert_refused(response, "Keys in the URL are ignored")
    assert secured.secrets["alice"] not in response.text


def test_every_endpoint_except_probes_needs_a_key(secured: Any, openapi: dict[str, Any]) -> None:
    answered = {}
    for path, operations in openapi["paths"].items():
        for method in operations:
            response = secured.http.request(method, path.replace("{task_id}", "some-job"))
            answered[f"{method.upper()} {path}"] = response.status_code

    assert {each for each, status in answered.items() if status != 401} == OPEN
    assert {"GET /jobs/{task_id}/events", "GET /jobs/{task_id}/log", "POST /train"} <= answered.keys()
    assert secured.http.get("/there-is-no-such-path").status_code == 401


def test_openapi_document_needs_no_key(secured: Any) -> None:
    assert [secured.http.get(path).status_code for path in ("/docs", "/openapi.json", "/")] == [200, 200, 200]


def test_openapi_document_declares_the_security_scheme(openapi: dict[str, Any], http: httpx.Client) -> None:
    schemes = openapi["components"]["securitySchemes"]

    assert {(each["type"], each["scheme"]) for each in schemes.values()} == {("http", "bearer")}
    assert openapi["security"] == [{name: []} for name in schemes]
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            is_open = f"{method.upper()} {path}" in OPEN
            assert (operation.get("security") == [], "401" in operation["responses"]) == (is_open, not is_open)
    assert "security" not in http.get("/openapi.json").json()


def test_upload_without_a_key_is_refused_before_its_body_is_sent(secured: Any) -> None:
    address = (secured.http.base_url.host, secured.http.base_url.port)
    head = f"POST /train?prompt=a&model_id=b HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n"
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head.encode())
        answer = b""
        while not answer.endswith(b'"errors":[]}'):
            answer += connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 401 ")

        connection.sendall(b"x" * UPLOAD_BYTES)
        assert connection.recv(1000) == b""  # Closed behind the upload: a reset could take the answer with it.


def test_client_that_sends_its_body_anyway_receives_the_refusal(secured: Any) -> None:
    response = secured.http.post("/train?prompt=a&model_id=b", files={"files": b"x" * UPLOAD_BYTES})

    assert_refused(response, "requires an API key")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_request_with_a_valid_key_is_answered(secured: Any, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {secured.secrets['alice']}"}

    assert secured.http.get("/jobs", headers=headers).status_code == 200


def test_job_is_labelled_with_the_name_of_its_key(secured: Any, cluster: Any, picture: Callable[..., bytes]) -> None:
    drawn = draw(secured, "alice")
    query, files = {"prompt": "a", "model_id": "dog"}, {"files": picture()}
    trained = secured.http.post("/train", params=query, files=files, headers=secured.key("bob")).json()["task_id"]

    assert cluster.get(Kind.GENERATE, drawn)["metadata"]["labels"][LABEL_SUBMITTED_BY] == "alice"
    assert cluster.get(Kind.TRAIN, trained)["metadata"]["labels"][LABEL_SUBMITTED_BY] == "bob"
    key = secured.key("alice")
    assert secured.http.get("/images", params={"task_id": drawn}, headers=key).json()["submitted_by"] == "alice"
    assert secured.http.get("/result", params={"task_id": trained}, headers=key).json()["submitted_by"] == "bob"


def test_jobs_can_be_filtered_by_key_and_every_key_sees_all_jobs(secured: Any, cluster: Any, job_name: str) -> None:
    cluster.create(Kind.GENERATE, job_name, {"prompt": "by kubectl"})
    of_alice, of_bob = draw(secured, "alice"), draw(secured, "bob")

    def listed(**query: str) -> dict[str, str | None]:
        answer = secured.http.get("/jobs", params={"limit": 1000, **query}, headers=secured.key("bob")).json()
        return {job["task_id"]: job.get("submitted_by") for job in answer["jobs"]}

    assert {job_name: None, of_alice: "alice", of_bob: "bob"}.items() <= listed().items()
    assert set(listed(submitted_by="alice").values()) == {"alice"}
    assert of_alice in listed(submitted_by="alice", kind="GenerateJob", phase="Queued")
    assert listed(submitted_by="carol") == {}


@pytest.mark.parametrize("name", ["alice,darkroom.dev/model-id=dog", "a b", "", "-alice"])
def test_invalid_key_name_is_refused_as_a_filter(secured: Any, name: str) -> None:
    response = secured.http.get("/jobs", params={"submitted_by": name}, headers=secured.key("alice"))

    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "submitted_by"


def test_every_key_may_delete_jobs(secured: Any) -> None:
    task_id = draw(secured, "alice")

    assert secured.http.delete(f"/jobs/{task_id}").status_code == 401
    assert secured.http.delete(f"/jobs/{task_id}", headers=secured.key("bob")).status_code == 204


def test_repeated_request_with_another_api_key_finds_its_job(secured: Any, job_name: str) -> None:
    first = draw(secured, "alice", **{"Idempotency-Key": job_name})

    assert draw(secured, "bob", **{"Idempotency-Key": job_name}) == first
    job = secured.http.get(f"/jobs/{first}", headers=secured.key("bob")).json()
    assert job["submitted_by"] == "alice"


def test_key_is_added_and_revoked_without_a_restart(secured: Any) -> None:
    file = secured.keys_folder / "carol"
    file.write_text("carol-is-here-for-a-day")
    key = secured.key("carol")

    wait_until(lambda: secured.http.get("/jobs", headers=key).status_code == 200, "the new key counts")
    file.unlink()
    wait_until(lambda: secured.http.get("/jobs", headers=key).status_code == 401, "the key is taken back")


def test_gateway_without_keys_needs_none_and_labels_no_job(http: httpx.Client) -> None:
    headers = {"Authorization": "Bearer whatever-this-may-be"}
    task_id = http.post("/generate/sdxl?prompt=a", headers=headers).json()["task_id"]

    assert "submitted_by" not in http.get(f"/jobs/{task_id}").json()
