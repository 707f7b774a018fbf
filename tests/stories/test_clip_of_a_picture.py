"""A clip of one's own picture and nothing else, by an upload and by kubectl."""

from io import BytesIO
from typing import Any

import av
import httpx
import numpy as np
from PIL import Image
from support.darkroom_up import REPOSITORY, Darkroom

PICTURE = REPOSITORY / "examples" / "pictures" / "circle.png"


def difference(frame: Any, picture: Any) -> float:
    return float(np.abs(np.asarray(frame, dtype=float) - np.asarray(picture, dtype=float)).mean())


def clip_of(darkroom: Darkroom, task_id: str) -> list[Any]:
    """The frames of a job that has made only a clip."""
    darkroom.wait_for_phase(task_id, "Succeeded")
    answer = darkroom.http.get("/images", params={"task_id": task_id}).json()
    assert answer["images"] == []
    content = httpx.get(answer["video"]["url"], trust_env=False).raise_for_status().content
    with av.open(BytesIO(content)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_uploaded_picture_becomes_a_clip_without_images(darkroom: Darkroom) -> None:
    query = {"prompt": "a red circle", "allow_motion": True, "count": 0, "video_steps": 8, "motion_bucket_id": 60}
    files = {"video_image": (PICTURE.name, PICTURE.read_bytes(), "image/png")}
    answer = darkroom.http.post("/generate/sdxl", params=query, files=files)
    assert answer.status_code == 202, answer.text

    frames = clip_of(darkroom, answer.json()["task_id"])

    with Image.open(PICTURE) as picture:
        assert difference(frames[0], picture.convert("RGB")) < 12
    assert len(frames) >= 6


def test_example_of_a_clip_works_as_it_is(darkroom: Darkroom) -> None:
    darkroom.kubectl("apply", "-f", "examples/generate-clip-of-picture.yaml")
    assert len(clip_of(darkroom, "circle-in-motion")) >= 6
    darkroom.kubectl("delete", "-f", "examples/generate-clip-of-picture.yaml")
