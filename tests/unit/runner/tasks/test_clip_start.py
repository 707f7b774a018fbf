"""A clip from the user's own picture: where it begins, what it says about it, and jobs that make only a clip."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from darkroom_contract.plan import plan_generation
from darkroom_contract.progress import Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.errors import ImageNotAllowedError, ImageNotFoundError, NonFiniteOutputError
from darkroom_runner.lifecycle import execute
from darkroom_runner.tasks import image_to_video
from darkroom_runner.tasks.generate import GenerateTask

KEY = "images/default/request/video_image.png"


def spec_of(count: int, key: str = KEY, **settings: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict(
        {
            "prompt": "a dog",
            "allowMotion": True,
            "images": {"count": count, "steps": 2},
            "video": {"steps": 2, "startImage": {"uri": f"s3://darkroom/{key}"}},
            **settings,
        }
    )


@pytest.fixture
def picture(storage: Any) -> bytes:
    """The user's own picture, twice as wide as high: bright on the left, dark on the right."""
    image = Image.linear_gradient("L").rotate(90).resize((128, 64)).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    storage.write(KEY, buffer.getvalue(), "image/png")
    return buffer.getvalue()


@pytest.fixture
def started_from(monkeypatch: pytest.MonkeyPatch) -> list[Image.Image]:
    """The images that the video pipeline received."""
    received = list[Image.Image]()
    generate = image_to_video.generate_frames

    def watched(pipeline: Any, image: Image.Image, *rest: Any) -> list[Image.Image]:
        received.append(image)
        return generate(pipeline, image, *rest)

    monkeypatch.setattr(image_to_video, "generate_frames", watched)
    return received


def comment_of(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as clip:
        comment: dict[str, Any] = json.loads(clip.metadata["comment"])
    return comment


@pytest.mark.parametrize("count", [0, 1])
def test_clip_begins_with_the_users_picture(
    open_context: Callable[..., Any], picture: bytes, started_from: list[Image.Image], count: int
) -> None:
    spec = spec_of(count)
    context = open_context(spec)

    result = execute(GenerateTask(context, spec), context)

    [start] = started_from
    assert start.tobytes() == Image.open(io.BytesIO(picture)).tobytes()
    *images, clip = result.files
    assert (len(images), clip.suffix) == (count, ".mp4")
    assert [model.reference for model in result.base_models] == ["test-sdxl", "test-svd"][1 - count :]
    assert context.progress.stage is Stage.ANIMATING


def test_clip_metadata_has_uri_and_digest_of_the_users_picture(
    open_context: Callable[..., Any], picture: bytes
) -> None:
    spec = spec_of(0)
    context = open_context(spec)

    [clip] = execute(GenerateTask(context, spec), context).files

    comment = comment_of(clip)
    assert comment["startImage"] == {"uri": f"s3://darkroom/{KEY}", "sha256": hashlib.sha256(picture).hexdigest()}
    assert "picture" not in comment
    assert comment["video"]["baseModel"] == "test-svd"


def test_clip_without_a_start_image_has_the_metadata_of_the_first_image(open_context: Callable[..., Any]) -> None:
    spec = GenerateJobSpec.from_dict(
        {"prompt": "a dog", "allowMotion": True, "images": {"steps": 2, "seed": 5}, "video": {"steps": 2}}
    )
    context = open_context(spec)

    _, clip = execute(GenerateTask(context, spec), context).files

    comment = comment_of(clip)
    assert (comment["picture"]["seed"], comment["picture"]["prompt"]) == (5, "a dog")
    assert "startImage" not in comment


def test_job_without_images_needs_neither_sdxl_nor_loras(open_context: Callable[..., Any], picture: bytes) -> None:
    spec = spec_of(0, modelId="missing")
    context = open_context(spec, base_model="missing-sdxl")

    inputs = GenerateTask(context, spec).download()

    assert (inputs.base_model, inputs.loras) == (None, ())
    assert [each.message for each in context.remarks.collected if "modelId" in each.message] == [
        "images.steps, modelId have no effect: images.count is 0. Raise it to generate images."
    ]


@pytest.mark.parametrize(
    ("key", "error"),
    [("images/default/request/gone.png", ImageNotFoundError), ("images/other/a.png", ImageNotAllowedError)],
)
def test_unreadable_start_image_fails_before_a_model_is_loaded(
    open_context: Callable[..., Any], key: str, error: type[Exception]
) -> None:
    spec = spec_of(1, key)

    with pytest.raises(error, match=r"video\.startImage"):
        GenerateTask(open_context(spec), spec).download()


def test_job_without_images_fails_when_its_clip_is_not_finite(
    open_context: Callable[..., Any], picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With images the clip is left out with a remark; without, the job would succeed with no file."""

    def fail(*_: Any) -> None:
        raise NonFiniteOutputError("The clip has values that are not finite.")

    monkeypatch.setattr(image_to_video, "generate_frames", fail)
    alone, beside = spec_of(0), spec_of(1)
    context = open_context(beside)

    assert [path.suffix for path in execute(GenerateTask(context, beside), context).files] == [".png"]
    assert [each.reason for each in context.remarks.collected if "no clip" in each.message] == ["ClipLeftOut"]
    context = open_context(alone)
    with pytest.raises(NonFiniteOutputError):
        execute(GenerateTask(context, alone), context)


def test_plan_of_a_job_without_images_has_no_image_stages() -> None:
    plan, with_image = plan_generation(spec_of(0)), plan_generation(spec_of(1))

    assert list(plan) == [Stage.DOWNLOADING, Stage.ANIMATING, Stage.UPLOADING]
    assert sum(plan.values()) < sum(with_image.values())


def test_frame_of_the_clip_has_the_aspect_ratio_of_the_users_picture(
    open_context: Callable[..., Any], picture: bytes
) -> None:
    spec = spec_of(0)
    context = open_context(spec)

    [clip] = execute(GenerateTask(context, spec), context).files

    with av.open(str(clip)) as file:
        frame = np.asarray(next(file.decode(video=0)).to_image())
    assert frame.shape[1] / frame.shape[0] == pytest.approx(2.0, rel=0.1)
