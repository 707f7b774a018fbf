"""A LoRA file moves between clusters: its Kohya form is downloaded, imported under another name, and generates."""

from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from support.darkroom_up import Darkroom

PROMPT = "a photo of sks star on a teal background"
SETTINGS: dict[str, Any] = {"prompt": PROMPT, "steps": 6, "seed": 3, "cache_profile": "Disabled"}


@pytest.fixture(scope="module")
def trained(darkroom: Darkroom) -> str:
    """A trained model, with a LoRA that changes pictures visibly."""
    settings = {"max_steps": 12, "rank": 4, "learning_rate": 5e-3, "layers": "All"}
    task_id = darkroom.train(prompt="a photo of sks star", model_id="exported-star", **settings)
    darkroom.wait_for_phase(task_id, "Succeeded")
    return "exported-star"


@pytest.fixture(scope="module")
def imported(darkroom: Darkroom, trained: str) -> str:
    """The same LoRA, imported from its Kohya file."""
    [file] = [each for each in model(darkroom, trained)["files"] if each["form"] == "Kohya"]
    content = httpx.get(file["url"], trust_env=False).raise_for_status().content

    query = {"model_id": "imported-star", "base_model": "darkroom-tiny-sdxl"}
    answer = darkroom.http.post("/v1/models", params=query, files={"file": (file["name"], content)})

    assert answer.status_code == 201, answer.text
    assert answer.json()["source"] == "exported-star.safetensors"
    return "imported-star"


def model(darkroom: Darkroom, model_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = darkroom.http.get(f"/v1/models/{model_id}").raise_for_status().json()
    return answer


def picture(darkroom: Darkroom, path: str = "/generate/lora", **query: Any) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """The picture of a generation, as numbers from 0 to 255."""
    task_id = darkroom.generate(path, **SETTINGS, **query)
    darkroom.wait_for_phase(task_id, "Succeeded")
    answer = darkroom.http.get("/images", params={"task_id": task_id}).json()
    assert [each["reason"] for each in answer["remarks"]] in ([], ["LoraConverted"])
    content = httpx.get(answer["images"][0]["url"], trust_env=False).raise_for_status().content
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"), dtype=float)


def test_imported_lora_draws_the_picture_of_the_trained_one(darkroom: Darkroom, trained: str, imported: str) -> None:
    base = picture(darkroom, "/generate/sdxl")
    original = picture(darkroom, model_id=trained)
    copy = picture(darkroom, model_id=imported)

    change = np.abs(original - base).mean()
    assert change > 1
    assert np.abs(copy - original).mean() < change / 10  # The file has half precision.


def test_two_halves_of_a_lora_are_the_whole(darkroom: Darkroom, trained: str, imported: str) -> None:
    whole = picture(darkroom, model_id=trained)
    halves = picture(darkroom, lora=[f"{trained}:0.5", f"{imported}:0.5"])

    change = np.abs(whole - picture(darkroom, "/generate/sdxl")).mean()
    assert np.abs(halves - whole).mean() < change / 5


def test_imported_lora_is_deleted_with_its_file(darkroom: Darkroom, imported: str) -> None:
    prefix = f"loras/{darkroom.jobs_namespace}/"
    assert darkroom.http.delete(f"/v1/models/{imported}").status_code == 204

    listed = darkroom.bucket.list_objects_v2(Bucket="darkroom", Prefix=prefix)
    assert not [each["Key"] for each in listed.get("Contents", []) if imported in each["Key"]]
