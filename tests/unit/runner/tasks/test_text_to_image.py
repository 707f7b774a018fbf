"""Images: seeds, samplers, sizes, and PNG metadata."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import published

from darkroom_contract.base_models import UsedModel
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import Scheduler
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.non_finite import retry_in_float32
from darkroom_runner.sampling.schedulers import build_sampler
from darkroom_runner.sampling.sdxl import generate_image
from darkroom_runner.sampling.timestep_spacing import ensure_starts_from_noise
from darkroom_runner.sampling.web_ui_samplers import WebUiSampler
from darkroom_runner.tasks.image_files import png_info
from darkroom_runner.tasks.output_metadata import image_metadata


def spec_of(**images: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict(
        {"prompt": "a dog", "images": {"steps": 3, **images}, "cache": {"profile": "Disabled"}}
    )


def generate(pipeline: Any, spec: GenerateJobSpec, seed: int = 0) -> Image.Image:
    return generate_image(pipeline, spec, seed, lambda step, total: None)


def test_an_image_depends_only_on_its_seed(sdxl: Any) -> None:
    alone = generate(sdxl, spec_of(), seed=8)

    generate(sdxl, spec_of(), seed=7)
    after_another = generate(sdxl, spec_of(), seed=8)

    assert after_another.tobytes() == alone.tobytes()
    assert generate(sdxl, spec_of(), seed=9).tobytes() != alone.tobytes()


@pytest.mark.parametrize("model", ["playgroundai/playground-v2.5-1024px-aesthetic", "stabilityai/cosxl"])
def test_an_edm_base_model_works_with_its_own_sampler(sdxl: Any, model: str) -> None:
    remarks = Remarks()
    sampler = build_sampler(published.scheduler(model), None, 2, remarks)
    sdxl.scheduler = ensure_starts_from_noise(sampler, 3, "images.steps", remarks)

    image = retry_in_float32(sdxl, lambda: generate(sdxl, spec_of()), "The image", remarks)

    assert len(image.getcolors(64 * 64) or []) > 1
    assert remarks.collected == ()


@pytest.mark.parametrize("name", [Scheduler.LCM, Scheduler.TCD, Scheduler.EULER_TRAILING])
def test_samplers_for_few_steps_draw_the_same_image_for_a_seed(sdxl: Any, name: Scheduler) -> None:
    """LCM and TCD add noise between their steps."""
    own = generate(sdxl, spec_of(guidanceScale=1.0))
    sdxl.scheduler = build_sampler(sdxl.scheduler, name, 3, Remarks())

    first, again = generate(sdxl, spec_of(guidanceScale=1.0)), generate(sdxl, spec_of(guidanceScale=1.0))

    assert first.tobytes() == again.tobytes()
    if name is not Scheduler.EULER_TRAILING:  # the small model's own
        assert first.tobytes() != own.tobytes()


def test_tcd_adds_noise_between_its_steps(sdxl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' pipeline turns that off by default (eta 0)."""
    etas = []
    sdxl.scheduler = build_sampler(sdxl.scheduler, Scheduler.TCD, 3, Remarks())
    step = sdxl.scheduler.step

    def watched(
        model_output: Any, timestep: Any, sample: Any, eta: float = 9.0, generator: Any = None, return_dict: bool = True
    ) -> Any:
        etas.append(eta)
        return step(model_output, timestep, sample, eta=eta, generator=generator, return_dict=return_dict)

    monkeypatch.setattr(sdxl.scheduler, "step", watched)
    generate(sdxl, spec_of())

    assert etas == [0.3] * 3


def test_every_step_is_reported(sdxl: Any) -> None:
    reported: list[tuple[int, int]] = []

    generate_image(sdxl, spec_of(), 0, lambda step, total: reported.append((step, total)))

    assert reported == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("images", "size"), [({}, (64, 64)), ({"width": 96}, (96, 64)), ({"width": 64, "height": 128}, (64, 128))]
)
def test_the_size_defaults_to_the_base_model_s_own(sdxl: Any, images: dict[str, int], size: tuple[int, int]) -> None:
    assert generate(sdxl, spec_of(**images)).size == size


def test_prompt_negative_prompt_and_guidance_change_the_image(sdxl: Any) -> None:
    plain = generate(sdxl, spec_of())
    others = [
        spec_of().model_copy(update={"prompt": "a castle"}),
        spec_of().model_copy(update={"negative_prompt": "blurry"}),
        spec_of(guidanceScale=9.0),
        spec_of(guidanceScale=1.0),
    ]

    images = {generate(sdxl, spec).tobytes() for spec in others}

    assert len(images | {plain.tobytes()}) == 5


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[GenerateJobSpec], dict[str, Any]]:
    def save(spec: GenerateJobSpec) -> dict[str, Any]:
        used = UsedModel(reference="owner/base@v2", commit="c" * 40)
        digests = [f"{number:x}" * 64 for number in range(10, 10 + len(spec.used_loras))]
        metadata = image_metadata(spec, used, digests, 7, (64, 64))
        Image.new("RGB", (64, 64)).save(tmp_path / "image.png", pnginfo=png_info(metadata, WebUiSampler("DDIM")))
        with Image.open(tmp_path / "image.png") as image:
            return {str(name): value for name, value in image.info.items()}

    return save


def test_png_metadata_is_enough_to_reproduce_the_image(saved: Callable[..., dict[str, Any]]) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "ein Hündchen – 小狗", "modelId": "my-dog", "images": {"seed": 7}})

    metadata = json.loads(saved(spec)["darkroom"])

    assert metadata["prompt"] == "ein Hündchen – 小狗"
    assert (metadata["seed"], metadata["modelId"], metadata["loraSha256"]) == (7, "my-dog", "a" * 64)
    assert "loras" not in metadata
    assert (metadata["baseModel"], metadata["baseModelCommit"]) == ("owner/base@v2", "c" * 40)
    assert metadata["cache"].items() >= {"policy": "Adaptive", "profile": "Balanced"}.items()
    assert metadata["cache"].keys().isdisjoint({"interval", "branch"})
    assert metadata["versions"].keys() >= {"darkroom", "torch", "diffusers"}


def test_png_parameters_have_the_format_of_the_web_uis(saved: Callable[..., dict[str, Any]]) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "negativePrompt": "blurry", "cache": {"profile": "Disabled"}})

    first, second, third = saved(spec)["parameters"].splitlines()

    assert (first, second) == ("a dog", "Negative prompt: blurry")
    assert third.startswith("Steps: 30, Sampler: DDIM, CFG scale: 5.0, Seed: 7, Size: 64x64, Model: owner/base@v2, ")
    assert "Cache: " not in third


def test_the_darkroom_chunk_has_the_sampler_that_the_job_sets(saved: Callable[..., dict[str, Any]]) -> None:
    """As in Darkroom 0.1; `parameters` names the one that ran."""
    own, chosen = (saved(spec_of(**images)) for images in ({}, {"scheduler": "Euler"}))

    assert ", Sampler: DDIM, " in own["parameters"]
    assert json.loads(own["darkroom"])["scheduler"] == "default"
    assert json.loads(chosen["darkroom"])["scheduler"] == "Euler"


def test_png_parameters_of_the_short_form_are_those_of_earlier_releases(saved: Callable[..., dict[str, Any]]) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "modelId": "my-dog", "loraScale": 0.8})

    assert "Model: owner/base@v2, Lora: my-dog:0.8, Cache: Adaptive Balanced, Version: " in saved(spec)["parameters"]


def test_png_metadata_lists_all_loras_with_scale_and_digest(saved: Callable[..., dict[str, Any]]) -> None:
    uri = "s3://darkroom/loras/default/style.safetensors"
    loras = [{"modelId": "my-dog@200", "scale": 0.8}, {"uri": uri, "scale": -0.5}]

    chunks = saved(GenerateJobSpec.from_dict({"prompt": "a dog", "loras": loras}))

    metadata = json.loads(chunks["darkroom"])
    assert metadata["loras"] == [loras[0] | {"sha256": "a" * 64}, loras[1] | {"sha256": "b" * 64}]
    assert metadata.keys().isdisjoint({"modelId", "loraScale", "loraSha256"})
    digests = f'Lora SHA-256: "my-dog@200: {"a" * 64}, {uri}: {"b" * 64}"'
    assert f'Lora: "my-dog@200:0.8, {uri}:-0.5", {digests}, ' in chunks["parameters"]


def test_png_parameters_keep_the_short_form_of_one_lora(saved: Callable[..., dict[str, Any]]) -> None:
    chunks = saved(GenerateJobSpec.from_dict({"prompt": "a dog", "modelId": "my-dog", "loraScale": 0.5}))

    assert ", Lora: my-dog:0.5, " in chunks["parameters"]
