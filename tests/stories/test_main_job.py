"""The main story over HTTP: a model is trained on five photos, then makes a picture and a video."""

from io import BytesIO
from pathlib import Path

import av
import httpx
import pytest
from PIL import Image
from safetensors import safe_open
from support.darkroom_up import Darkroom

FEW_STEPS = 4
"""Too few for a likeness, which tests/quality checks."""


@pytest.fixture(scope="module")
def trained(darkroom: Darkroom) -> str:
    """The task of a training that has succeeded."""
    task_id = darkroom.train(prompt="a photo of sks star", model_id="story-star", max_steps=FEW_STEPS, rank=4)
    darkroom.wait_for_phase(task_id, "Succeeded")
    return task_id


@pytest.fixture(scope="module")
def drawn(darkroom: Darkroom, trained: str) -> str:
    """The task of a generation with that model, in motion."""
    parameters = {"prompt": "a photo of sks star on a teal background", "model_id": "story-star", "allow_motion": True}
    task_id = darkroom.generate("/generate/lora", **parameters, steps=6, video_steps=4, seed=11)
    darkroom.wait_for_phase(task_id, "Succeeded")
    return task_id


def test_training_ends_with_safetensors_behind_a_link(darkroom: Darkroom, trained: str, tmp_path: Path) -> None:
    result = darkroom.http.get("/result", params={"task_id": trained}).json()
    lora = result["lora"]
    path = tmp_path / lora["name"]
    path.write_bytes(httpx.get(lora["url"], trust_env=False).raise_for_status().content)

    with safe_open(path, framework="np") as weights:
        metadata, keys = weights.metadata(), list(weights.keys())
    assert path.name == "pytorch_lora_weights.safetensors"
    assert len(path.read_bytes()) == lora["bytes"]
    assert any("lora_A" in key for key in keys)
    assert "a photo of sks star" in metadata.values()


def test_the_model_is_listed(darkroom: Darkroom, trained: str) -> None:
    models = darkroom.http.get("/models").json()["models"]
    assert [each["prompt"] for each in models if each["model_id"] == "story-star"] == ["a photo of sks star"]


def test_picture_has_its_generation_parameters(darkroom: Darkroom, drawn: str) -> None:
    [image] = darkroom.http.get("/images", params={"task_id": drawn}).json()["images"]
    content = httpx.get(image["url"], trust_env=False).raise_for_status().content

    picture = Image.open(BytesIO(content))
    text = " ".join(str(value) for value in picture.info.values())
    assert picture.format == "PNG"
    assert picture.size == (128, 128)
    for part in ("a photo of sks star on a teal background", "11", "story-star", "darkroom-tiny-sdxl"):
        assert part in text


def test_the_video_can_be_played(darkroom: Darkroom, drawn: str) -> None:
    video = darkroom.http.get("/images", params={"task_id": drawn}).json()["video"]
    content = httpx.get(video["url"], trust_env=False).raise_for_status().content

    with av.open(BytesIO(content)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        codec = container.streams.video[0].codec_context.name
    assert codec == "h264"
    assert len(frames) >= 6
    assert frames[0].shape == (128, 128, 3)


def test_tampered_link_is_refused(darkroom: Darkroom, drawn: str) -> None:
    [image] = darkroom.http.get("/images", params={"task_id": drawn}).json()["images"]
    assert httpx.get(image["url"][:-1] + "x", trust_env=False).status_code == 403


def test_the_status_names_files_and_holds_no_link(darkroom: Darkroom, drawn: str) -> None:
    status = darkroom.resource("generatejob", drawn)["status"]
    assert status["phase"] == "Succeeded"
    assert {each["contentType"] for each in status["artifacts"]} == {"image/png", "video/mp4"}
    assert "X-Amz" not in str(status)
    assert {each["type"] for each in status["conditions"] if each["status"] == "True"} >= {"Admitted", "Complete"}


def test_the_progress_was_streamed_while_it_ran(darkroom: Darkroom) -> None:
    task_id = darkroom.generate(prompt="a red circle on a navy background", steps=12)
    with darkroom.http.stream("GET", f"/jobs/{task_id}/events", timeout=120) as response:
        lines = list(response.iter_lines())
    text = "\n".join(lines)
    assert "event: progress" in text
    assert '"stage":"Denoising"' in text.replace('": "', '":"')
    assert lines[-1 if lines[-1] else -2].startswith("data") or "event: end" in text
    assert "Succeeded" in text.rpartition("event: end")[2]
