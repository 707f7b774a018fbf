"""Unknown base models are refused at submission if the model root is mounted."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from darkroom_contract.base_models import SDXL_PIPELINE, SVD_PIPELINE
from darkroom_contract.names import Kind

PROMPT = {"prompt": "a dog"}


@pytest.fixture(scope="module")
def seeing(
    start_gateway: Any, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A gateway whose model root has an SDXL model, the default with pictures of 128 pixels, and an SVD model."""
    root = tmp_path_factory.mktemp("models")
    for name, pipeline in (("sdxl", SDXL_PIPELINE), ("svd", SVD_PIPELINE)):
        (root / name).mkdir()
        (root / name / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    for part, config in (("unet", {"sample_size": 32}), ("vae", {"block_out_channels": [8, 8, 8]})):
        (root / "sdxl" / part).mkdir()
        (root / "sdxl" / part / "config.json").write_text(json.dumps(config))
    with start_gateway(
        environment | {"DARKROOM_MODEL_ROOT": str(root), "DARKROOM_DEFAULT_BASE_MODEL": "sdxl"}
    ) as gateway:
        yield gateway.http


def field_errors(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 422, response.text
    return {each["parameter"]: each["message"] for each in response.json()["errors"]}


def test_unknown_base_model_is_refused_with_the_known_ones(seeing: httpx.Client, cluster: Any) -> None:
    before = cluster.count(Kind.GENERATE)

    found = field_errors(seeing.post("/generate/sdxl", params={**PROMPT, "base_model": "sdx"}))

    assert found.keys() == {"base_model"}
    assert "no base model 'sdx' in the model root. It has sdxl." in found["base_model"]
    assert cluster.count(Kind.GENERATE) == before


def test_wrong_kind_and_unknown_base_model_are_reported_together(seeing: httpx.Client) -> None:
    asked = {**PROMPT, "allow_motion": "true", "base_model": "svd", "video_base_model": "svd@v2"}

    found = field_errors(seeing.post("/generate/sdxl", params=asked))

    assert f"is for {SVD_PIPELINE}" in found["base_model"]
    assert "no base model 'svd@v2'" in found["video_base_model"]


def test_training_is_refused_before_its_photos_are_stored(
    seeing: httpx.Client, picture: Callable[..., bytes], stored_keys: Callable[[str], list[str]]
) -> None:
    before = stored_keys("datasets/")
    asked = {"prompt": "a photo of sks dog", "model_id": "dog", "base_model": "sdx"}

    response = seeing.post("/train", params=asked, files=[("files", ("1.jpg", picture()))])

    assert field_errors(response).keys() == {"base_model"}
    assert stored_keys("datasets/") == before


@pytest.mark.parametrize(
    "name", ["sdxl", "owner/name-of-the-hub", "owner/name-of-the-hub@v1.0", "owner/name@" + "a" * 40]
)
def test_existing_base_models_and_hub_references_are_accepted(seeing: httpx.Client, cluster: Any, name: str) -> None:
    response = seeing.post("/generate/sdxl", params={**PROMPT, "base_model": name})

    assert response.status_code == 202, response.text
    assert cluster.get(Kind.GENERATE, response.json()["task_id"])["spec"]["baseModel"] == name


@pytest.mark.parametrize("name", ["owner/name@../x", "owner/name@", "../sdxl", "a/b/c"])
def test_invalid_reference_is_refused_by_its_pattern(http: httpx.Client, name: str) -> None:
    assert "base_model" in field_errors(http.post("/generate/sdxl", params={**PROMPT, "base_model": name}))


def test_gateway_without_a_model_root_checks_nothing(http: httpx.Client) -> None:
    assert http.post("/generate/sdxl", params={**PROMPT, "base_model": "anything"}).status_code == 202


def test_guidance_scales_that_contradict_each_other_are_refused_by_name(http: httpx.Client) -> None:
    asked = {**PROMPT, "allow_motion": "true", "min_guidance_scale": 3, "max_guidance_scale": 1}
    assert field_errors(http.post("/generate/sdxl", params=asked)).keys() == {"min_guidance_scale"}


def test_list_of_models_has_the_native_size_of_the_base_model(seeing: httpx.Client, http: httpx.Client) -> None:
    seen, unseen = seeing.get("/v1/models").json(), http.get("/v1/models").json()

    assert seen["base_models"][0] == {"reference": "sdxl", "native_px": 128}
    assert unseen["base_models"][0] == {"reference": "stabilityai/stable-diffusion-xl-base-1.0", "native_px": None}
