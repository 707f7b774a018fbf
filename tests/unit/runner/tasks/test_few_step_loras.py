"""Few-step LoRAs are recognised by name, and unsuitable settings add a remark with what to set."""

import time
from pathlib import Path
from typing import Any

import pytest

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.lora import LoraSource
from darkroom_runner.models.model_store import FetchedLora
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.tasks.few_step_loras import few_step_kind, remark_on_few_steps

FOLDER = "s3://darkroom/loras/default"
SUITABLE = {"scheduler": "LCM", "steps": 4, "guidanceScale": 1.0}
NO_CACHE = {"profile": "Disabled"}


def test_a_huge_title_takes_no_time() -> None:
    """Such a header of 8 MB would take hours."""
    lora = fetched(LoraSource(model_id="a"), **{"modelspec.title": "hyper_sdxl1 " * 100_000})

    started = time.process_time()
    assert few_step_kind(lora) is not None
    assert few_step_kind(fetched(LoraSource(model_id="a"), ss_output_name="hyper-sdx " * 100_000)) is None

    assert time.process_time() - started < 1


def fetched(source: LoraSource, **metadata: str) -> FetchedLora:
    return FetchedLora(source, Path("a.safetensors"), "a" * 64, None, metadata)


def remarks_on(*names: str, images: dict[str, Any], cache: dict[str, Any] = NO_CACHE, scale: float = 1.0) -> list[str]:
    loras = [{"uri": f"{FOLDER}/{name}.safetensors", "scale": scale} for name in names]
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "loras": loras, "images": images, "cache": cache})
    remarks = Remarks()
    remark_on_few_steps(spec, [fetched(use) for use in spec.used_loras], remarks)
    assert {each.reason for each in remarks.collected} <= {"SettingUnsuitable"}
    return [each.message for each in remarks.collected]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lcm-lora-sdxl", "LCM"),
        ("lcm_sdxl_lora_weights", "LCM"),
        ("sdxl_lightning_4step_lora", "Lightning"),
        ("SDXL-Lightning-8steps-lora", "Lightning"),
        ("Hyper-SDXL-8steps-lora", "Hyper-SD"),
        ("Hyper-SDXL-12steps-CFG-lora", "Hyper-SD with guidance"),
        ("hyper_sd", "Hyper-SD"),
        ("dmd2_sdxl_4step_lora_fp16", "DMD2"),
        ("tcd-sdxl-lora", "TCD"),
        ("lightning-mcqueen", None),
        ("hyperrealism", None),
        ("my-dog", None),
        ("calcmar", None),
    ],
)
def test_published_few_step_loras_are_recognised_by_their_names(name: str, kind: str | None) -> None:
    for lora in (
        fetched(LoraSource(uri=f"{FOLDER}/{name}.safetensors")),
        fetched(LoraSource(model_id=name)),
        fetched(LoraSource(model_id="imported"), **{"modelspec.title": name}),
        fetched(LoraSource(model_id="imported"), ss_output_name=name),
    ):
        found = few_step_kind(lora)
        assert (found.name if found else None) == kind


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("lcm-lora-sdxl", SUITABLE),
        ("lcm-lora-sdxl", SUITABLE | {"guidanceScale": 2.0, "steps": 12}),
        ("dmd2_sdxl_4step", SUITABLE),
        ("sdxl_lightning_4step", SUITABLE | {"scheduler": "EulerTrailing"}),
        ("Hyper-SDXL-8steps-lora", SUITABLE | {"scheduler": "TCD"}),
        ("Hyper-SDXL-12steps-CFG-lora", {"scheduler": "EulerTrailing", "steps": 12, "guidanceScale": 5.0}),
        ("my-dog", {}),
    ],
)
def test_suitable_settings_add_no_remark(name: str, images: dict[str, Any]) -> None:
    assert remarks_on(name, images=images) == []


@pytest.mark.parametrize(
    ("images", "cache", "advice"),
    [
        (SUITABLE | {"steps": 13}, NO_CACHE, "images.steps to 2 to 8 (now 13)"),
        (SUITABLE | {"guidanceScale": 2.1}, NO_CACHE, "images.guidanceScale to 1 (now 2.1)"),
        (SUITABLE | {"scheduler": "Euler"}, NO_CACHE, "images.scheduler to LCM"),
        ({"steps": 4, "guidanceScale": 1.0}, NO_CACHE, "images.scheduler to LCM"),
        (SUITABLE, {"interval": 2}, "cache.profile to Disabled"),
        (
            SUITABLE | {"steps": 20, "guidanceScale": 5.0},
            NO_CACHE,
            "images.steps to 2 to 8 (now 20) and images.guidanceScale to 1 (now 5)",
        ),
    ],
)
def test_unsuitable_settings_add_a_remark_with_what_to_set(
    images: dict[str, Any], cache: dict[str, Any], advice: str
) -> None:
    [message] = remarks_on("lcm-lora-sdxl", images=images, cache=cache)
    assert message == f"LoRA '{FOLDER}/lcm-lora-sdxl.safetensors' is made for few steps (LCM). Set {advice}."


def test_each_few_step_lora_gets_its_own_remark_and_others_none() -> None:
    messages = remarks_on("my-dog", "lcm-lora-sdxl", "tcd-sdxl-lora", images={"steps": 30})
    assert [message.split("(")[1].split(")")[0] for message in messages] == ["LCM", "TCD"]


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_few_step_lora_that_is_off_or_reversed_is_no_few_step_lora(scale: float) -> None:
    assert remarks_on("lcm-lora-sdxl", images={"steps": 30}, scale=scale) == []


@pytest.mark.parametrize("sampler", ["LCM", "TCD"])
def test_a_sampler_for_few_steps_adds_a_remark_by_itself(sampler: str) -> None:
    [message] = remarks_on(images={"scheduler": sampler, "steps": 30, "guidanceScale": 5.0})
    assert message == (
        f"The sampler {sampler} is made for few steps. Set images.steps to 12 or less (now 30) and "
        "images.guidanceScale to 2 or less (now 5), or choose another images.scheduler."
    )
    assert remarks_on(images={"scheduler": sampler, "steps": 12, "guidanceScale": 2.0}) == []


def test_trailing_euler_suits_ordinary_models_with_many_steps() -> None:
    assert remarks_on(images={"scheduler": "EulerTrailing", "steps": 30}) == []
