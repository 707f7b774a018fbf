"""Remarks and errors of a generation before any image is generated."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.storage.keys import ModelRecord
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.models import model_store
from darkroom_runner.tasks.generate import GenerateTask
from darkroom_runner.tasks.text_to_image import load_text_to_image


@pytest.fixture
def keep_model(storage: Any) -> Callable[[str, str], None]:
    """Store a model's record and weights."""

    def keep(model_id: str, base_model: str) -> None:
        key = f"runs/{model_id}/pytorch_lora_weights.safetensors"
        storage.write(key, b"weights", "application/octet-stream")
        record = ModelRecord(
            model_id=model_id,
            weights_key=key,
            sha256=hashlib.sha256(b"weights").hexdigest(),
            base_model=base_model,
            prompt="a photo of sks dog",
            job_uid="u",
            created=datetime.now(UTC),
        )
        model_store.write_record(storage, "default", record)

    return keep


@pytest.mark.parametrize(("trained_on", "remarks"), [("test-sdxl", []), ("owner/other", ["BaseModelDiffers"])])
def test_a_lora_on_another_base_model_adds_a_remark(
    open_context: Callable[..., Any],
    keep_model: Callable[[str, str], None],
    trained_on: str,
    remarks: list[str],
) -> None:
    keep_model("my-dog", trained_on)
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "modelId": "my-dog"})
    context = open_context(spec)

    GenerateTask(context, spec).download()

    assert [each.reason for each in context.remarks.collected] == remarks
    assert all("'owner/other' and used here on 'test-sdxl'" in each.message for each in context.remarks.collected)


def test_remarks_are_kept_in_the_order_in_which_they_are_added(
    open_context: Callable[..., Any],
) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "a dog, " + "sharp, " * 12, "loraScale": 0.5})
    context = open_context(spec)
    task = GenerateTask(context, spec)

    inputs = task.download()
    load_text_to_image(context, spec, inputs.base_model, inputs.lora)

    assert [each.reason for each in context.remarks.collected] == ["SettingIgnored", "PromptTruncated"]


def test_an_incompatible_sampler_is_refused_when_the_model_is_loaded(open_context: Callable[..., Any]) -> None:
    """The small model has zero terminal SNR."""
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"scheduler": "Heun"}})
    context = open_context(spec)
    inputs = GenerateTask(context, spec).download()

    with pytest.raises(InvalidRunError, match=r"has no setting rescale_betas_zero_snr \(True\)"):
        load_text_to_image(context, spec, inputs.base_model, inputs.lora)
