"""Pictures to start from: an upload is changed, a part of the result is painted, and all of it is deleted."""

from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from support.darkroom_up import REPOSITORY, Darkroom, wait_for

PICTURES = REPOSITORY / "examples" / "pictures"
SETTINGS: dict[str, Any] = {"steps": 10, "guidance_scale": 3, "cache_profile": "Disabled"}
Pixels = np.ndarray[Any, np.dtype[np.float64]]


def submit(darkroom: Darkroom, parts: dict[str, str], **query: Any) -> str:
    """The task of a generation that begins with files of examples/pictures."""
    files = [(part, (name, (PICTURES / name).read_bytes(), "image/png")) for part, name in parts.items()]
    answer = darkroom.http.post("/generate/sdxl", params={**SETTINGS, **query}, files=files)
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


def pixels(content: bytes) -> Pixels:
    """From 0 to 255."""
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"), dtype=float)


def first_image(darkroom: Darkroom, task_id: str) -> Pixels:
    darkroom.wait_for_phase(task_id, "Succeeded")
    [image] = darkroom.http.get("/images", params={"task_id": task_id}).json()["images"]
    return pixels(httpx.get(image["url"], trust_env=False).raise_for_status().content)


def uploads(darkroom: Darkroom) -> list[str]:
    listed = darkroom.bucket.list_objects_v2(Bucket="darkroom", Prefix=f"images/{darkroom.jobs_namespace}/")
    return [each["Key"] for each in listed.get("Contents", [])]


def wide(path: str) -> Pixels:
    return pixels((PICTURES / path).read_bytes())


@pytest.fixture(scope="module")
def little_changed(darkroom: Darkroom) -> str:
    """The task that changes the picture of two shapes at a low strength."""
    size = {"width": 256, "height": 128}
    prompt = "a yellow circle on a navy background"
    task_id = submit(darkroom, {"image": "two-shapes.png"}, prompt=prompt, strength=0.1, **size)
    darkroom.wait_for_phase(task_id, "Succeeded")
    return task_id


def test_low_strength_keeps_the_uploaded_picture(darkroom: Darkroom, little_changed: str) -> None:
    change = np.abs(first_image(darkroom, little_changed) - wide("two-shapes.png")).mean()
    assert change < 20


def test_part_of_a_result_is_painted_by_its_task_id(darkroom: Darkroom, little_changed: str) -> None:
    before = first_image(darkroom, little_changed)
    prompt = "a red star on a navy background"
    painted = submit(
        darkroom,
        {"mask": "two-shapes-mask.png"},
        prompt=prompt,
        image_task_id=little_changed,
        strength=1,
        mask_blur=0,
        width=256,
        height=128,
    )
    change = np.abs(first_image(darkroom, painted) - before).mean(axis=(0, 2))

    assert change[:120].max() < 1  # Black in the mask.
    assert change[128:].mean() > 10


def test_kubectl_names_a_picture_of_an_earlier_job(darkroom: Darkroom, little_changed: str) -> None:
    key = darkroom.resource("generatejob", little_changed)["status"]["artifacts"][0]["key"]
    start = {"uri": f"s3://darkroom/{key}", "strength": 0.1}
    images = {"steps": 10, "width": 256, "height": 128}
    prompt = "a yellow circle on a navy background"
    darkroom.apply("GenerateJob", "from-a-result", prompt=prompt, startImage=start, images=images)

    change = np.abs(first_image(darkroom, "from-a-result") - first_image(darkroom, little_changed)).mean()
    assert change < 20
    darkroom.kubectl("delete", "generatejob", "from-a-result")


def test_broken_picture_is_refused_before_anything_is_stored(darkroom: Darkroom) -> None:
    before = uploads(darkroom)
    files = {"image": ("broken.png", (PICTURES / "circle.png").read_bytes()[:200], "image/png")}
    answer = darkroom.http.post("/generate/sdxl", params={"prompt": "a circle"}, files=files)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "image"
    assert uploads(darkroom) == before


def test_job_is_deleted_with_its_uploads(darkroom: Darkroom) -> None:
    before = set(uploads(darkroom))
    parts = {"image": "two-shapes.png", "mask": "two-shapes-mask.png"}
    task_id = submit(darkroom, parts, prompt="a red star", strength=0.5)
    stored = set(uploads(darkroom)) - before
    files = f"runs/{darkroom.resource('generatejob', task_id)['metadata']['uid']}/"
    assert len(stored) == 2
    darkroom.wait_for_phase(task_id, "Succeeded")

    assert darkroom.http.delete(f"/jobs/{task_id}", params={"files": "true"}).status_code in (202, 204)

    wait_for(lambda: darkroom.http.get(f"/jobs/{task_id}").status_code == 404, "the job is gone")
    assert not stored & set(uploads(darkroom))
    assert "Contents" not in darkroom.bucket.list_objects_v2(Bucket="darkroom", Prefix=files)
