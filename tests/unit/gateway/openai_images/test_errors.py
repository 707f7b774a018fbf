"""Errors and waits of `/v1/images` as OpenAI's clients see them."""

import socket
from typing import Any

import httpx
import openai
import pytest
from support.gateway_cluster import wait_until
from support.running_gateway import Gateway, SecuredGateway

from darkroom_contract.names import Kind

PATH = "/v1/images/generations"


def shape_of(response: httpx.Response) -> dict[str, Any]:
    """The error of a response."""
    assert response.headers["content-type"] == "application/json", response.text
    [(name, error)] = response.json().items()
    assert (name, error.keys()) == ("error", {"message", "type", "param", "code"})
    found: dict[str, Any] = error
    return found


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"prompt": None}, "prompt", "should be a valid string"),
        ({"style": "vivid"}, "style", "describe the style in the prompt"),
        ({"background": "transparent"}, "background", "'auto' or 'opaque'"),
        ({"size": "1000x1001"}, "size", "in steps of 8"),
        ({"size": "large"}, "size", "pattern"),
        ({"output_compression": 50}, "output_compression", "PNG is lossless"),
        ({"partial_images": 2}, "partial_images", "Add stream"),
        ({"stream": True, "response_format": "url"}, "response_format", "base64"),
        ({"lora_scale": 0.5}, "lora_scale", "Name the LoRA in model"),
        ({"prmpt": "a"}, "prmpt", "no such parameter"),
        ({"steps": 500}, "steps", "less than or equal to 200"),
    ],
)
def test_refused_generation_names_the_parameter_and_makes_no_job(
    http: httpx.Client, run: Any, body: dict[str, Any], param: str, message: str
) -> None:
    response = http.post(PATH, json={"prompt": run.prompt, **body})

    error = shape_of(response)
    assert (response.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert message in error["message"]
    assert run.find() is None


@pytest.mark.parametrize(
    "body", ['{"prompt": "\\ud800"}', '{"prompt": "a", "\\ud800": 1}', '{"prompt": "a", "n": "\\ud800"}']
)
def test_lone_surrogate_is_refused(http: httpx.Client, body: str) -> None:
    response = http.post(PATH, content=body, headers={"Content-Type": "application/json"})

    assert (response.status_code, shape_of(response)["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b'{"prompt": "a", "n": 1, "n": 2}', "n", "Give each field once"),
        (b'{"prompt": "a", "guidance_scale": NaN}', "body", "valid JSON"),
        (b'{"prompt": "a", "guidance_scale": 1e400}', "guidance_scale", "less than or equal to 30"),
        (b'{"prompt": ' + b"[" * 10_000, "body", "valid JSON"),
        (b'{"prompt": "a", "lora": [' + b"1," * 10_000 + b"1]}", "body", "at most 3000 values"),
        (b'"a dog"', "body", "Send a JSON object"),
    ],
)
def test_unusable_json_is_refused_with_its_fault(http: httpx.Client, body: bytes, param: str, words: str) -> None:
    response = http.post(PATH, content=body, headers={"Content-Type": "application/json"})

    error = shape_of(response)
    assert (response.status_code, error["param"], error["code"]) == (400, param, "invalid_request")
    assert words in error["message"]


@pytest.mark.parametrize("model", ["dall-e-3", "owner/name", "my-dog@latest"])
def test_unknown_model_is_refused(client: openai.OpenAI, run: Any, model: str) -> None:
    with pytest.raises(openai.NotFoundError, match=f"There is no model '{model}'") as unknown:
        client.images.generate(model=model, prompt=run.prompt)

    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")


def test_errors_of_middleware_and_routing_have_the_shape_too(
    secured: SecuredGateway, http: httpx.Client, client_of: Any
) -> None:
    without_key = secured.http.post(PATH, json={"prompt": "a"})
    with client_of(secured, api_key="wrong") as client, pytest.raises(openai.AuthenticationError, match="not valid"):
        client.images.generate(prompt="a")

    assert (without_key.status_code, shape_of(without_key)["code"]) == (401, "invalid_api_key")
    assert without_key.headers["www-authenticate"] == "Bearer"
    assert (shape_of(http.post("/v1/images/variations"))["code"], shape_of(http.get(PATH))["code"]) == (
        "not_found",
        "method_not_allowed",
    )
    large = http.post(PATH, json={"prompt": "a" * 1024**2})
    assert (large.status_code, shape_of(large)["code"]) == (413, "too_large")
    assert http.get("/v1/jobs-of-nobody").headers["content-type"] == "application/problem+json"


def test_job_that_is_not_finished_in_time_continues(impatient: Gateway, run: Any) -> None:
    key = {"Idempotency-Key": run.key}
    without_key = impatient.http.post(PATH, json={"prompt": run.prompt})
    name = run.name()
    run.cluster.set_status(Kind.GENERATE, name, phase="Queued", queue={"position": 3, "waitingFor": "TrainJob/other"})
    with_key = impatient.http.post(PATH, json={"prompt": f"{run.prompt} again"}, headers=key)

    assert (without_key.status_code, shape_of(without_key)["code"]) == (504, "wait_expired")
    assert name in shape_of(without_key)["message"]
    assert without_key.headers["location"] == f"/v1/jobs/{name}"
    assert int(without_key.headers["retry-after"]) >= 1
    assert [each.headers["x-should-retry"] for each in (without_key, with_key)] == ["false", "true"]


def test_client_with_a_key_waits_for_the_same_job_again(impatient: Gateway, run: Any, client_of: Any) -> None:
    """Its own retries continue the wait."""
    with client_of(impatient, max_retries=20) as client:
        key = {"Idempotency-Key": run.key}
        wait = run.during(client.images.with_raw_response.generate, extra_headers=key)
        name = run.name()
        wait_until(lambda: f"The job {name} is" in impatient.log(), "the first wait has expired")
        run.succeed(b"picture")
        response = wait.result()

    assert response.retries_taken >= 1
    assert response.parse().model_extra == {"job_id": name}


@pytest.mark.parametrize(
    ("reason", "error"), [("ModelIncompatible", openai.BadRequestError), ("OutOfMemory", openai.InternalServerError)]
)
def test_failed_job_is_an_error_with_its_reason(
    client: openai.OpenAI, run: Any, reason: str, error: type[openai.APIStatusError]
) -> None:
    answering = run.during(client.images.generate)
    name = run.fail(reason, "What happened.")

    with pytest.raises(error, match=rf"{name} failed \({reason}\): What happened\.") as failed:
        answering.result()
    assert failed.value.code == "job_failed"
    assert failed.value.response.headers["x-should-retry"] == "false"


def test_pictures_too_large_for_base64_need_links(client: openai.OpenAI, run: Any) -> None:
    answering = run.during(client.images.generate)
    run.succeed(b"first", b"second", size_bytes=33 * 1024**2)

    with pytest.raises(openai.BadRequestError, match=r"Use url: .* have 66 MiB, .* at most 64 MiB") as refused:
        answering.result()
    assert (refused.value.param, refused.value.code) == ("response_format", "answer_too_large")


def test_deleted_job_is_an_error(client: openai.OpenAI, run: Any, cluster: Any) -> None:
    answering = run.during(client.images.generate)
    cluster.delete(Kind.GENERATE, run.name())

    with pytest.raises(openai.NotFoundError, match="was deleted before it had finished"):
        answering.result()


def disconnect_after_submission(gateway: Gateway, run: Any, headers: str = "", suspend: bool = False) -> str:
    """Send a generation and close the connection once its job exists. Returns the job's name."""
    url, body = gateway.http.base_url, f'{{"prompt": "{run.prompt}"}}'
    head = f"POST {PATH} HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n{headers}"
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        name: str = run.name()
        if suspend:
            assert gateway.http.post(f"/v1/jobs/{name}/suspend").is_success
    return name


def test_client_that_disconnects_leaves_no_job_behind(gateway: Gateway, run: Any) -> None:
    disconnect_after_submission(gateway, run)

    wait_until(lambda: run.find() is None, "the job is deleted")


def test_job_of_a_repeatable_request_is_kept_when_its_client_disconnects(gateway: Gateway, run: Any) -> None:
    name = disconnect_after_submission(gateway, run, f"Idempotency-Key: {run.key}\r\n")

    wait_until(lambda: f"POST '{PATH}' answered" in gateway.log().rpartition(name)[2], "the request has ended")
    assert run.name() == name


def test_suspended_job_is_kept_when_its_client_disconnects(gateway: Gateway, run: Any) -> None:
    """Also before the operator has seen it: its phase is then still Queued."""
    name = disconnect_after_submission(gateway, run, suspend=True)

    wait_until(lambda: f"POST '{PATH}' answered" in gateway.log().rpartition(name)[2], "the request has ended")
    assert run.name() == name
