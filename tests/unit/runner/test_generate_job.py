"""What a generation remarks upon before it draws."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from darkroom_contract.specs import GenerateJobSpec
from darkroom_contract.storage import ModelRecord
from darkroom_runner import model_store
from darkroom_runner.drawing import open_session
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.generate_job import GenerateJob


@pytest.fixture
def keep_model(storage: Any) -> Callable[[str, str], None]:
    """A model's record and weights in storage."""

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
def test_a_lora_on_another_base_model_is_remarked_upon(
    open_bench: Callable[..., Any],
    keep_model: Callable[[str, str], None],
    trained_on: str,
    remarks: list[str],
) -> None:
    keep_model("my-dog", trained_on)
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "modelId": "my-dog"})
    bench = open_bench(spec)

    GenerateJob(bench, spec).download()

    assert [each.reason for each in bench.remarks.found] == remarks
    assert all("'owner/other' and used here on 'test-sdxl'" in each.message for each in bench.remarks.found)


def test_a_long_prompt_and_an_ignored_setting_are_remarked_upon_in_the_outcome_s_order(
    open_bench: Callable[..., Any],
) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "a dog, " + "sharp, " * 12, "loraScale": 0.5})
    bench = open_bench(spec)
    job = GenerateJob(bench, spec)

    open_session(bench, spec, job.download())

    assert [each.reason for each in bench.remarks.found] == ["SettingIgnored", "PromptTruncated"]


def test_a_sampler_that_can_t_draw_the_model_is_refused_as_it_is_loaded(open_bench: Callable[..., Any]) -> None:
    """The small model has zero terminal SNR."""
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"scheduler": "Heun"}})
    bench = open_bench(spec)

    with pytest.raises(InvalidRunError, match=r"does not know rescale_betas_zero_snr \(True\)"):
        open_session(bench, spec, GenerateJob(bench, spec).download())
