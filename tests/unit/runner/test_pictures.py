"""Pictures: seeds, samplers, sizes, and what a PNG says of itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import published

from darkroom_contract.base_models import UsedModel
from darkroom_contract.specs import GenerateJobSpec
from darkroom_runner.finite import draw_finite
from darkroom_runner.metadata import picture_facts, png_info
from darkroom_runner.pictures import draw_picture
from darkroom_runner.remarks import Remarks
from darkroom_runner.schedulers import with_sampler
from darkroom_runner.timesteps import from_noise


def spec_of(**images: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict(
        {"prompt": "a dog", "images": {"steps": 3, **images}, "cache": {"profile": "Disabled"}}
    )


def draw(pipeline: Any, spec: GenerateJobSpec, seed: int = 0) -> Image.Image:
    return draw_picture(pipeline, spec, seed, lambda step, total: None)


def test_a_seed_gives_its_picture_whatever_was_drawn_before(sdxl: Any) -> None:
    alone = draw(sdxl, spec_of(), seed=8)

    draw(sdxl, spec_of(), seed=7)
    after_another = draw(sdxl, spec_of(), seed=8)

    assert after_another.tobytes() == alone.tobytes()
    assert draw(sdxl, spec_of(), seed=9).tobytes() != alone.tobytes()


@pytest.mark.parametrize("model", ["playgroundai/playground-v2.5-1024px-aesthetic", "stabilityai/cosxl"])
def test_an_edm_base_model_draws_with_its_own_sampler(sdxl: Any, model: str) -> None:
    remarks = Remarks()
    sampler = with_sampler(published.scheduler(model), None, 2, remarks)
    sdxl.scheduler = from_noise(sampler, 3, "images.steps", remarks)

    picture = draw_finite(sdxl, lambda: draw(sdxl, spec_of()), "The picture", remarks)

    assert len(picture.getcolors(64 * 64) or []) > 1
    assert remarks.found == ()


def test_every_step_is_told(sdxl: Any) -> None:
    told: list[tuple[int, int]] = []

    draw_picture(sdxl, spec_of(), 0, lambda step, total: told.append((step, total)))

    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("images", "size"), [({}, (64, 64)), ({"width": 96}, (96, 64)), ({"width": 64, "height": 128}, (64, 128))]
)
def test_a_size_is_the_base_model_s_own_unless_asked_for(
    sdxl: Any, images: dict[str, int], size: tuple[int, int]
) -> None:
    assert draw(sdxl, spec_of(**images)).size == size


def test_prompts_negative_prompts_and_guidance_change_the_picture(sdxl: Any) -> None:
    plain = draw(sdxl, spec_of())
    others = [
        spec_of().model_copy(update={"prompt": "a castle"}),
        spec_of().model_copy(update={"negative_prompt": "blurry"}),
        spec_of(guidanceScale=9.0),
        spec_of(guidanceScale=1.0),
    ]

    pictures = {draw(sdxl, spec).tobytes() for spec in others}

    assert len(pictures | {plain.tobytes()}) == 5


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[GenerateJobSpec], dict[str, Any]]:
    def save(spec: GenerateJobSpec) -> dict[str, Any]:
        facts = picture_facts(spec, UsedModel(reference="owner/base@v2", commit="c" * 40), "ab" * 32, 7, (64, 64))
        Image.new("RGB", (64, 64)).save(tmp_path / "picture.png", pnginfo=png_info(facts))
        with Image.open(tmp_path / "picture.png") as picture:
            return {str(name): value for name, value in picture.info.items()}

    return save


def test_a_picture_says_how_to_make_it_again(saved: Callable[..., dict[str, Any]]) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "ein Hündchen – 小狗", "modelId": "my-dog", "images": {"seed": 7}})

    facts = json.loads(saved(spec)["darkroom"])

    assert facts["prompt"] == "ein Hündchen – 小狗"
    assert (facts["seed"], facts["modelId"], facts["loraSha256"]) == (7, "my-dog", "ab" * 32)
    assert (facts["baseModel"], facts["baseModelCommit"]) == ("owner/base@v2", "c" * 40)
    assert facts["cache"] == {"interval": 3, "branch": 0}
    assert facts["versions"].keys() >= {"darkroom", "torch", "diffusers"}


def test_picture_viewers_find_the_parameters_that_they_know(saved: Callable[..., dict[str, Any]]) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "negativePrompt": "blurry", "cache": {"profile": "Disabled"}})

    first, second, third = saved(spec)["parameters"].splitlines()

    assert (first, second) == ("a dog", "Negative prompt: blurry")
    assert third.startswith("Steps: 30, Sampler: default, CFG scale: 5.0, Seed: 7, Size: 64x64, Model: owner/base@v2, ")
    assert "DeepCache" not in third
