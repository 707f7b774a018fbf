"""Remarks and errors of a generation before any image is generated."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.storage.keys import ModelRecord
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError
from darkroom_runner.models import model_store
from darkroom_runner.tasks.generate import GenerateTask
from darkroom_runner.tasks.text_to_image import load_text_to_image


def lora_file(metadata: dict[str, str] | None = None) -> bytes:
    """A LoRA of one layer, without values of interest."""
    names = (f"unet.mid_block.attentions.0.proj_in.lora_{side}.weight" for side in "AB")
    header: dict[str, Any] = {
        name: {"dtype": "F32", "shape": [1, 1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(names)
    }
    content = json.dumps(header | {"__metadata__": metadata or {}}).encode()
    return len(content).to_bytes(8, "little") + content + bytes(8)


@pytest.fixture
def keep_model(storage: Any) -> Callable[..., None]:
    """Store a model's record and weights."""

    def keep(model_id: str, base_model: str, source: str | None = None, weights: bytes | None = None) -> None:
        weights = lora_file() if weights is None else weights
        key = f"runs/{model_id}/pytorch_lora_weights.safetensors"
        storage.write(key, weights, "application/octet-stream")
        record = ModelRecord(
            model_id=model_id,
            weights_key=key,
            source=source,
            sha256=hashlib.sha256(weights).hexdigest(),
            base_model=base_model,
            prompt="a photo of sks dog",
            job_uid=model_id,
            created=datetime.now(UTC),
        )
        model_store.write_record(storage, "default", record)

    return keep


@pytest.mark.parametrize(("trained_on", "remarks"), [("test-sdxl", []), ("owner/other", ["BaseModelDiffers"])])
def test_a_lora_on_another_base_model_adds_a_remark(
    open_context: Callable[..., Any],
    keep_model: Callable[..., None],
    trained_on: str,
    remarks: list[str],
) -> None:
    keep_model("my-dog", trained_on)
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "modelId": "my-dog"})
    context = open_context(spec)

    GenerateTask(context, spec).download()

    assert [each.reason for each in context.remarks.collected] == remarks
    assert all("'owner/other' and used here on 'test-sdxl'" in each.message for each in context.remarks.collected)


def test_each_of_several_loras_is_compared_with_the_base_model(
    open_context: Callable[..., Any], keep_model: Callable[..., None]
) -> None:
    keep_model("cat", "owner/other")
    keep_model("dog", "test-sdxl")
    keep_model("owl", "owner/third")
    spec = GenerateJobSpec.from_dict(
        {"prompt": "a dog", "loras": [{"modelId": name} for name in ("cat", "dog", "owl")]}
    )
    context = open_context(spec)

    inputs = GenerateTask(context, spec).download()

    assert [lora.name for lora in inputs.loras] == ["cat", "dog", "owl"]
    assert len({lora.path for lora in inputs.loras}) == 3
    assert [each.message.split("'")[1] for each in context.remarks.collected] == ["cat", "owl"]


def test_a_file_that_is_no_lora_fails_before_a_model_is_loaded(
    open_context: Callable[..., Any], keep_model: Callable[..., None]
) -> None:
    keep_model("my-dog", "test-sdxl", weights=b"weights")
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "modelId": "my-dog"})

    with pytest.raises(ModelIncompatibleError, match="LoRA 'my-dog' can't be read: It is not a safetensors file"):
        GenerateTask(open_context(spec), spec).download()


def test_an_imported_few_step_lora_adds_a_remark_with_what_to_set(
    open_context: Callable[..., Any], keep_model: Callable[..., None]
) -> None:
    """It is recognised by the name of the file that was imported."""
    keep_model("fast", "test-sdxl", source="sdxl_lightning_4step_lora.safetensors")
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "modelId": "fast"})
    context = open_context(spec)

    GenerateTask(context, spec).download()

    [remark] = context.remarks.collected
    assert remark.reason == "SettingUnsuitable"
    assert remark.message == (
        "LoRA 'fast' is made for few steps (Lightning). Set images.scheduler to EulerTrailing and images.steps to 2 to "
        "8 (now 30) and images.guidanceScale to 1 (now 5) and cache.profile to Disabled."
    )


def test_remarks_are_kept_in_the_order_in_which_they_are_added(
    open_context: Callable[..., Any],
) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "a (dog:9)", "loraScale": 0.5})
    context = open_context(spec)
    task = GenerateTask(context, spec)

    inputs = task.download()
    load_text_to_image(context, spec, inputs.base_model)

    assert [each.reason for each in context.remarks.collected] == ["SettingIgnored", "SettingIgnored"]
    assert "(dog:9)" in context.remarks.collected[1].message


def test_an_incompatible_sampler_is_refused_when_the_model_is_loaded(open_context: Callable[..., Any]) -> None:
    """The small model has zero terminal SNR."""
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"scheduler": "Heun"}})
    context = open_context(spec)
    inputs = GenerateTask(context, spec).download()

    with pytest.raises(InvalidRunError, match=r"has no setting rescale_betas_zero_snr \(True\)"):
        load_text_to_image(context, spec, inputs.base_model)
