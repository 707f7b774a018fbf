"""The `parameters` text: every setting under the name that the Stable Diffusion web UIs give it."""

import re
from typing import Any

import pytest
from support import published

from darkroom_contract.base_models import UsedModel
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import Scheduler
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.schedulers import build_sampler
from darkroom_runner.sampling.web_ui_samplers import WebUiSampler, web_ui_sampler
from darkroom_runner.tasks.output_metadata import image_metadata
from darkroom_runner.tasks.web_ui_parameters import web_ui_parameters
from darkroom_runner.tasks.xmp import GENERATED, GENERATED_FROM_PICTURE, digital_source_type

START = {"uri": "s3://darkroom/images/default/a/cat.jpg", "strength": 0.4}
MASK = {"uri": "s3://darkroom/images/default/a/mask.png", "blur": 8, "invert": True}


def settings_of(spec: dict[str, Any], size_px: tuple[int, int] = (64, 64), hashes: tuple[str, ...] = ()) -> str:
    """The last line."""
    job = GenerateJobSpec.from_dict({"prompt": "a dog", "cache": {"profile": "Disabled"}, **spec})
    digests = ["f" * 64 for _ in job.used_loras]
    base = UsedModel(reference="owner/base", commit=None)
    metadata = image_metadata(job, base, digests, 7, size_px, lora_tensors_sha256=hashes)
    return web_ui_parameters(metadata, WebUiSampler("Euler a", "Karras")).splitlines()[-1]


def test_a_plain_job_has_no_entries_of_other_kinds() -> None:
    line = settings_of({})

    assert line.startswith(
        "Steps: 30, Sampler: Euler a, Schedule type: Karras, CFG scale: 5.0, Seed: 7, Size: 64x64, Model: owner/base, "
        "Version: darkroom "
    )
    assert not re.search("Denoising|Mask|Hires|Clip skip|Lora", line)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"startImage": START}, ", Denoising strength: 0.4, "),
        ({"startImage": START, "mask": MASK}, ", Mask blur: 8, Mask mode: Inpaint not masked, Inpaint area: "),
        ({"upscale": {"factor": 2.0, "strength": 0.3, "steps": 12}}, ", Denoising strength: 0.3, Hires upscale: 2.0, "),
        ({"upscale": {"factor": 2.0, "strength": 0.3, "steps": 12}}, ", Hires steps: 12, "),
        ({"upscale": {"factor": 2.0}, "images": {"steps": 25}}, ", Hires steps: 25, "),
        ({"images": {"clipSkip": 1}}, ", Clip skip: 2, "),
    ],
)
def test_settings_have_the_names_of_the_web_uis(spec: dict[str, Any], expected: str) -> None:
    assert expected in settings_of(spec)


@pytest.mark.parametrize("factor", [1.1, 1.25, 1.5, 2.0])
@pytest.mark.parametrize("side", [64, 1000, 1024, 2048])
def test_size_is_that_before_the_upscaling_pass(factor: float, side: int) -> None:
    upscaled = round(side * factor / 8) * 8

    assert f"Size: {side}x{side}, " in settings_of({"upscale": {"factor": factor}}, (upscaled, upscaled))


def test_loras_have_the_short_hashes_of_the_web_uis() -> None:
    ink = {"uri": "s3://darkroom/loras/default/ink.safetensors", "scale": 0.5}
    spec = {"loras": [{"modelId": "my-dog@200"}, ink]}

    line = settings_of(spec, hashes=("a" * 64, "b" * 64))

    assert f'Lora hashes: "my-dog@200: {"a" * 12}, ink: {"b" * 12}", Version: ' in line


def test_the_short_form_of_one_lora_has_its_hash() -> None:
    assert f'Lora: my-dog:0.5, Lora hashes: "my-dog: {"a" * 12}", ' in settings_of(
        {"modelId": "my-dog", "loraScale": 0.5}, hashes=("a" * 64,)
    )


def test_pictures_that_were_changed_are_composites() -> None:
    def source(spec: dict[str, Any]) -> str:
        job = GenerateJobSpec.from_dict({"prompt": "a dog", **spec})
        return digital_source_type(image_metadata(job, UsedModel(reference="b", commit=None), [], 7, (64, 64)))

    assert source({}) == source({"upscale": {}}) == GENERATED
    assert source({"startImage": START}) == GENERATED_FROM_PICTURE
    assert digital_source_type({"video": {"startImage": START}, "picture": {}}) == GENERATED_FROM_PICTURE
    assert digital_source_type({"video": {}, "picture": {"startImage": START}}) == GENERATED_FROM_PICTURE
    assert digital_source_type({"video": {"frames": 8}, "picture": {"seed": 7}}) == GENERATED


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (Scheduler.DDIM, ("DDIM", None)),
        (Scheduler.DPM_PLUS_PLUS, ("DPM++ 2M", "DDIM")),
        (Scheduler.EULER, ("Euler", "DDIM")),
        (Scheduler.EULER_ANCESTRAL, ("Euler a", "DDIM")),
        (Scheduler.EULER_TRAILING, ("Euler", "SGM Uniform")),
        (Scheduler.HEUN, ("Heun", "DDIM")),
        (Scheduler.LCM, ("LCM", None)),
        (Scheduler.TCD, ("TCD", None)),
        (Scheduler.UNIPC, ("UniPC", None)),
    ],
)
def test_every_sampler_has_its_name_in_the_web_uis(name: Scheduler, expected: tuple[str, str | None]) -> None:
    """On SDXL's own noise schedule, whose timesteps have a "leading" spacing: the web UIs' schedule "DDIM"."""
    assert web_ui_sampler(build_sampler(published.scheduler(published.SDXL), name, 30, Remarks())) == expected


def test_schedules_of_sigmas_are_named() -> None:
    scheduler = published.scheduler(published.SDXL)
    karras = type(scheduler).from_config(scheduler.config, use_karras_sigmas=True)

    assert web_ui_sampler(karras) == ("Euler", "Karras")


def test_an_unknown_sampler_keeps_the_name_of_its_class() -> None:
    assert web_ui_sampler(published.scheduler("flow matching")).name == "FlowMatchEulerDiscrete"
