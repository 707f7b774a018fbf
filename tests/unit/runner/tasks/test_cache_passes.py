"""The U-Net cache in whole generations: it knows how many steps run, and the run's metrics count its passes."""

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.sampling.sdxl import generate_image
from darkroom_runner.sampling.start_picture import StartPicture
from darkroom_runner.tasks.generate import GenerateTask
from darkroom_runner.unet_cache.context import CacheReport

START = {"uri": "s3://bucket/images/default/picture.png"}


def spec_of(cache: dict[str, Any], steps: int = 8, **spec: Any) -> GenerateJobSpec:
    images = {"steps": steps, **spec.pop("images", {})}
    return GenerateJobSpec.from_dict({"prompt": "a dog", "cache": cache, "images": images, **spec})


def metrics_of(open_context: Callable[..., Any], spec: GenerateJobSpec) -> dict[str, float]:
    """Of the passes of a job."""
    task = GenerateTask(open_context(spec), spec)
    inputs = task.download()
    metrics = task.execute(inputs, task.load(inputs)).metrics
    return {name: value for name, value in metrics.items() if name.lower().endswith("passes")}


def passes_of(pipeline: Any, spec: GenerateJobSpec, *, mask: Image.Image | None = None) -> CacheReport:
    """Of one image."""
    report, photo = CacheReport(), Image.effect_noise((64, 64), 60).convert("RGB")
    start = StartPicture(photo, mask) if spec.start_image else None
    generate_image(pipeline, spec, 1, lambda step, total: None, start, report=report)
    return report


def test_the_passes_of_all_images_and_of_the_clip_are_counted(open_context: Callable[..., Any]) -> None:
    job = {"images": {"count": 2}, "allowMotion": True, "video": {"steps": 6}}

    metrics = metrics_of(open_context, spec_of({}, 8, **job))

    assert (metrics["unetPasses"], metrics["videoUnetPasses"]) == (16, 6)
    assert 0 < metrics["unetFullPasses"] < 16
    assert 0 < metrics["videoUnetFullPasses"] < 6


def test_the_passes_of_the_deepcache_package_are_counted(open_context: Callable[..., Any]) -> None:
    cache = {"policy": "DeepCache", "interval": 3}
    assert metrics_of(open_context, spec_of(cache, 8)) == {"unetPasses": 8, "unetFullPasses": 3}


def test_without_a_cache_no_passes_are_counted(open_context: Callable[..., Any]) -> None:
    assert metrics_of(open_context, spec_of({"profile": "Disabled"}, 2)) == {}


@pytest.mark.parametrize(
    ("spec", "passes"),
    [
        ({"startImage": {**START, "strength": 0.6}}, 12),
        ({"upscale": {"strength": 0.4}}, 20 + 8),
        ({"startImage": {**START, "strength": 0.6}, "upscale": {"strength": 0.5, "steps": 10}}, 12 + 5),
    ],
    ids=["image to image", "upscale", "both"],
)
def test_passes_are_as_many_as_the_steps_that_run(sdxl: Any, spec: dict[str, Any], passes: int) -> None:
    report = passes_of(sdxl, spec_of({}, 20, **spec))
    assert report.full + report.shallow == passes


@pytest.mark.parametrize("masked", [False, True], ids=["image to image", "inpainting"])
def test_the_last_quarter_is_that_of_the_steps_that_run(sdxl: Any, masked: bool) -> None:
    """Guidance is reused there. Of 20 steps at strength 0.4, 8 run: the last 2, and none after step 15."""
    mask = Image.new("L", (64, 64), 255) if masked else None
    spec = spec_of({"reuseGuidance": True, "threshold": 0.001}, 20, startImage={**START, "strength": 0.4})

    report = passes_of(sdxl, spec, mask=mask)

    assert report.single == 2


def test_the_last_quarter_of_the_upscaling_pass_is_that_of_its_own_steps(sdxl: Any) -> None:
    spec = spec_of({"reuseGuidance": True, "threshold": 0.001}, 20, upscale={"strength": 0.4})

    report = passes_of(sdxl, spec)

    assert report.single == 5 + 2
