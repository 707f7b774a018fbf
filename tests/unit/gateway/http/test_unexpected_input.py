"""Input that an endpoint would ignore gets a 422 that names it, and nothing is created or deleted."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from darkroom_contract.names import Kind

Draw = Callable[..., bytes]

HEALTH = {"/healthz", "/readyz"}
READS_A_BODY = {
    *("POST /train", "POST /generate/sdxl", "POST /generate/lora", "POST /v1/models"),
    *("POST /v1/train-jobs", "POST /v1/generate-jobs", "POST /v1/uploads", "PATCH /v1/jobs/nobody-sent-this"),
}


@pytest.fixture(autouse=True)
def _nothing_changes(cluster: Any, stored_keys: Any, http: httpx.Client) -> Iterator[None]:
    before = [cluster.count(kind) for kind in Kind], stored_keys("datasets/")
    yield
    assert ([cluster.count(kind) for kind in Kind], stored_keys("datasets/")) == before


@pytest.fixture(scope="module")
def operations(http: httpx.Client) -> list[tuple[str, str]]:
    """The method and path of each endpoint except the probes, and except those whose errors have OpenAI's shape: see
    tests/unit/gateway/openai_images/test_errors.py."""
    paths = http.get("/openapi.json").json()["paths"]
    found = [
        (method.upper(), re.sub(r"\{(task_id|id)\}", "nobody-sent-this", path))
        for path, methods in paths.items()
        for method in methods
        if path not in HEALTH and not path.startswith("/v1/images/")
    ]
    assert len(found) >= 10
    return found


def refused(response: httpx.Response) -> dict[str, str]:
    """The messages of a problem by parameter."""
    assert response.status_code == 422, f"{response.request.method} {response.request.url}: {response.text}"
    assert response.json()["type"].endswith(":InvalidRequest")
    return {each["parameter"]: each["message"] for each in response.json()["errors"]}


def generate(http: httpx.Client, path: str = "/generate/sdxl", **parameters: Any) -> httpx.Response:
    return http.post(path, params={"prompt": "a dog", **parameters})


def test_every_endpoint_refuses_an_unknown_parameter(http: httpx.Client, operations: list[tuple[str, str]]) -> None:
    for method, path in operations:
        assert "no such parameter" in refused(http.request(method, path, params={"phse": "Failed"}))["phse"]


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("step", "steps"), ("guidancescale", "guidance_scale"), ("negative_promt", "negative_prompt")],
)
def test_a_misspelt_parameter_gets_the_name_that_was_meant(http: httpx.Client, misspelt: str, meant: str) -> None:
    assert refused(generate(http, **{misspelt: "5"}))[misspelt].endswith(f"Did you mean {meant}?")


def test_a_parameter_like_no_other_gets_no_suggestion(http: httpx.Client) -> None:
    assert "mean" not in refused(generate(http, colour="red"))["colour"]


@pytest.mark.parametrize("name", ["lora", "model_id", "lora_scale"])
def test_parameter_of_a_sibling_endpoint_gets_its_path(http: httpx.Client, name: str) -> None:
    assert "use /generate/lora, which takes it" in refused(generate(http, **{name: "1"}))[name]


def test_all_errors_of_a_request_are_named_at_once(http: httpx.Client) -> None:
    parameters = {"step": 5, "width": 65, "count": 99, "colour": "red"}
    found = refused(http.post("/generate/sdxl", params=parameters))
    assert found.keys() == {*parameters, "prompt"}


def test_every_endpoint_refuses_a_repeated_parameter(http: httpx.Client, operations: list[tuple[str, str]]) -> None:
    for method, path in operations:
        response = http.request(method, f"{path}?task_id=a&task_id=b&kind=TrainJob&kind=TrainJob&prompt=a&prompt=b")
        found = {each["parameter"] for each in response.json()["errors"] if "2 times" in each["message"]}
        assert response.status_code == 422
        assert found == {"task_id", "kind", "prompt"}


@pytest.mark.parametrize("in_chunks", [False, True])
def test_every_endpoint_without_a_body_refuses_bodies(
    http: httpx.Client, operations: list[tuple[str, str]], in_chunks: bool
) -> None:
    content = b'{"steps": 3}'
    for method, path in operations:
        if f"{method} {path}" not in READS_A_BODY:
            body = iter([content]) if in_chunks else content
            response = http.request(method, path, content=body, headers={"Content-Type": "application/json"})
            assert "query string" in refused(response)["body"]
            assert response.json()["errors"][0]["given"] == "application/json"


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "0"}, {"Content-Type": "application/json"}])
def test_empty_body_is_accepted(http: httpx.Client, headers: dict[str, str]) -> None:
    assert http.request("GET", "/jobs", headers=headers).status_code == 200
    assert http.request("GET", "/jobs", headers=headers, content=iter([])).status_code == 200
    assert http.post("/generate/lora", params={"prompt": "a", "model_id": "nobody"}, headers=headers).status_code == 404


def test_repeated_idempotency_key_is_refused(http: httpx.Client) -> None:
    response = http.post("/generate/sdxl?prompt=a", headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])

    assert "2 times" in refused(response)["Idempotency-Key"]


def test_probes_and_documentation_accept_any_parameter(http: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert http.get(path, params={"probe": "kubelet"}).status_code == 200


def test_text_fields_of_the_form_are_refused(http: httpx.Client, picture: Draw) -> None:
    response = http.post(
        "/train",
        params={"prompt": "sks dog", "model_id": "dog"},
        data={"max_steps": "7", "files": "a.jpg"},
        files={"files": ("a.jpg", picture())},
    )

    found = refused(response)
    assert "?max_steps=" in found["max_steps"]
    assert "with the @" in found["files"]


def test_video_parameters_without_motion_are_refused(http: httpx.Client) -> None:
    video = {
        "frames": 10,
        "fps": 7,
        "video_steps": 5,
        "motion_bucket_id": 100,
        "noise_aug_strength": 0.1,
        "video_fit": "Pad",
        "decode_chunk_size": 2,
        "min_guidance_scale": 1,
        "max_guidance_scale": 2,
        "video_seed": 1,
        "video_base_model": "tiny-svd",
    }

    for motion in ({}, {"allow_motion": "false"}):
        found = refused(generate(http, **video, **motion))
        assert found.keys() == video.keys()
        assert "allow_motion=true" in found["frames"]


def test_contradictory_guidance_of_a_clip_is_refused(http: httpx.Client) -> None:
    response = generate(http, allow_motion=True, min_guidance_scale=2, max_guidance_scale=1)

    assert "max_guidance_scale above 1" in refused(response)["min_guidance_scale"]


@pytest.mark.parametrize(
    ("parameters", "ignored", "advice"),
    [
        ({"negative_prompt": "a cat", "guidance_scale": 1}, "negative_prompt", "guidance_scale above 1"),
        ({"cache_branch": 1, "cache_profile": "Disabled"}, "cache_branch", "they turn the cache off"),
        ({"cache_branch": 0, "cache_interval": 1}, "cache_branch", "they turn the cache off"),
        ({"cache_profile": "Fast", "cache_interval": 2}, "cache_profile", "cache_interval out"),
        ({"lora_scale": 0.5}, "lora_scale", "no such parameter"),
    ],
)
def test_parameters_without_effect_beside_others_are_refused(
    http: httpx.Client, parameters: dict[str, Any], ignored: str, advice: str
) -> None:
    found = refused(generate(http, **parameters))

    assert list(found) == [ignored]
    assert advice in found[ignored]


def test_unused_parameters_with_a_lora_are_refused(http: httpx.Client) -> None:
    assert "frames" in refused(generate(http, "/generate/lora", model_id="nobody", frames=10))
