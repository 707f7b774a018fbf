"""Generations from a start image: from storage to the saved image, and what is refused before the first step."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from support.s3_server import BUCKET

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.errors import ImageInvalidError, ImageNotFoundError, InvalidRunError, ModelIncompatibleError
from darkroom_runner.tasks.generate import GenerateTask
from darkroom_runner.tasks.text_to_image import load_text_to_image

Open = Callable[..., Any]


@pytest.fixture
def put_picture(s3: Any) -> Callable[[str, Image.Image], dict[str, str]]:
    """Store a picture; returns its source for a spec."""

    def put(name: str, picture: Image.Image) -> dict[str, str]:
        content = io.BytesIO()
        picture.save(content, "PNG")
        s3.put_object(Bucket=BUCKET, Key=f"images/default/{name}.png", Body=content.getvalue())
        return {"uri": f"s3://{BUCKET}/images/default/{name}.png"}

    return put


def generation(**spec: Any) -> GenerateJobSpec:
    images = {"steps": 4, **spec.pop("images", {})}
    return GenerateJobSpec.from_dict({"prompt": "a dog", "cache": {"profile": "Disabled"}, "images": images, **spec})


def run(open_context: Open, spec: GenerateJobSpec) -> tuple[Any, list[Any]]:
    context = open_context(spec)
    task = GenerateTask(context, spec)
    inputs = task.download()
    models: Any = task.load(inputs)
    images, _ = models.generate()
    return context, images


def test_a_job_paints_only_inside_its_mask(open_context: Open, put_picture: Callable[..., dict[str, str]]) -> None:
    picture = Image.effect_noise((64, 64), 60).convert("RGB")
    black = Image.new("L", (64, 64), 255)
    black.paste(0, (0, 0, 32, 64))
    spec = generation(
        startImage={**put_picture("photo", picture), "strength": 0.8},
        mask={**put_picture("mask", black), "invert": True, "blur": 0},
        images={"count": 2},
    )

    context, images = run(open_context, spec)

    first, second = (each.image for each in images)
    assert first.crop((32, 0, 64, 64)).tobytes() == picture.crop((32, 0, 64, 64)).tobytes()
    assert len({first.tobytes(), second.tobytes(), picture.tobytes()}) == 3
    assert (context.progress._step, context.progress._total) == (6, 6)
    assert context.remarks.collected == ()


def test_the_settings_are_in_the_image(open_context: Open, put_picture: Callable[..., dict[str, str]]) -> None:
    source = put_picture("photo", Image.new("RGB", (64, 64), "red"))
    spec = generation(
        startImage={**source, "strength": 0.5},
        upscale={"factor": 1.5},
        images={"clipSkip": 1, "vaeTiling": "Enabled"},
    )

    _, [image] = run(open_context, spec)

    with Image.open(image.path) as saved:
        metadata = json.loads(saved.info["darkroom"])
    assert metadata["startImage"] == {
        **source,
        "strength": 0.5,
        "fit": "Crop",
        "sha256": metadata["startImage"]["sha256"],
    }
    assert len(metadata["startImage"]["sha256"]) == 64
    assert metadata["upscale"] == {"factor": 1.5, "strength": 0.35, "steps": 4}
    assert (metadata["width"], metadata["clipSkip"], metadata["vaeTiling"]) == (96, 1, "Enabled")
    assert "mask" not in metadata


def test_a_job_without_them_has_the_entries_of_earlier_releases(open_context: Open) -> None:
    _, [image] = run(open_context, generation())
    assert image.metadata.keys().isdisjoint({"startImage", "mask", "upscale", "clipSkip", "vaeTiling"})


def test_cropping_of_the_start_image_is_remarked(
    open_context: Open, put_picture: Callable[..., dict[str, str]]
) -> None:
    source = put_picture("wide", Image.new("RGB", (128, 64), "red"))
    context, [image] = run(open_context, generation(startImage=source, images={"width": 64, "height": 64}))

    assert image.image.size == (64, 64)
    [remark] = context.remarks.collected
    assert remark.reason == "PictureCropped"
    assert "64 columns left and right of it were cropped" in remark.message


def test_a_missing_start_image_fails_before_the_model_is_loaded(open_context: Open) -> None:
    spec = generation(startImage={"uri": f"s3://{BUCKET}/images/default/absent.png"})
    with pytest.raises(ImageNotFoundError, match=r"^startImage.uri"):
        GenerateTask(open_context(spec), spec).download()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"images": {"clipSkip": 5}}, "images.clipSkip is 5"),
        (
            {"images": {"scheduler": "LCM"}, "upscale": {"steps": 60}},
            "upscale.steps is 60, and LCMScheduler has at most 50",
        ),
    ],
)
def test_what_the_base_model_can_t_do_is_refused_before_the_first_step(
    open_context: Open, spec: dict[str, Any], message: str
) -> None:
    job = generation(**spec)
    context = open_context(job)
    inputs = GenerateTask(context, job).download()
    with pytest.raises(InvalidRunError, match=message):
        load_text_to_image(context, job, inputs.base_model)


def test_an_inpainting_model_is_refused(open_context: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its U-Net has nine input channels."""
    from darkroom_runner.models import kept_pipelines

    load = kept_pipelines.load_pipeline

    def with_nine_channels(*arguments: Any, **options: Any) -> Any:
        pipeline = load(*arguments, **options)
        pipeline.unet.register_to_config(in_channels=9)
        return pipeline

    monkeypatch.setattr(kept_pipelines, "load_pipeline", with_nine_channels)
    spec = generation()
    context = open_context(spec)
    inputs = GenerateTask(context, spec).download()
    with pytest.raises(ModelIncompatibleError, match="has 9 input channels: it is made for inpainting only"):
        load_text_to_image(context, spec, inputs.base_model)


def test_a_mask_of_which_cropping_leaves_nothing_is_refused(
    open_context: Open, put_picture: Callable[..., dict[str, str]]
) -> None:
    """Otherwise the result would be the start image, unchanged."""
    mask = Image.new("L", (192, 64))
    mask.paste(255, (0, 0, 20, 64))
    spec = generation(
        startImage=put_picture("photo", Image.new("RGB", (192, 64), "red")),
        mask=put_picture("mask", mask),
        images={"width": 64, "height": 64},
    )

    with pytest.raises(ImageInvalidError, match="Nothing is left of the mask"):
        run(open_context, spec)
