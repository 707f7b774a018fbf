"""A training that continues from an existing LoRA: it starts with its weights, and says so."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.errors import DatasetNotAllowedError, ModelIncompatibleError, ModelNotFoundError
from darkroom_runner.tasks.train import TrainTask

LORA = "pytorch_lora_weights.safetensors"


@pytest.fixture
def trained(open_job: Callable[..., Any]) -> tuple[str, dict[str, torch.Tensor]]:
    """The model id of a training with a saved step, and that step's weights."""
    model_id = f"m-{uuid.uuid4().hex[:8]}"
    files = open_job(3, model_id=model_id, saveSteps=3).train().files
    return model_id, load_file(files[0])


@pytest.fixture
def continue_from(
    open_context: Callable[..., Any], put_dataset: Callable[..., str], thin_model_root: Path
) -> Callable[..., Any]:
    """Run a whole task that continues from a LoRA, and return its result."""

    def run(source: dict[str, str], **training: Any) -> Any:
        spec = TrainJobSpec.from_dict(
            {
                "modelId": "my-dog",
                "prompt": "a photo of sks dog",
                "dataset": {"uri": put_dataset()},
                "maxSteps": 1,
                "training": {"rank": 4, "learningRate": 1e-8, "initialLora": source, **training},
            }
        )
        context = open_context(spec, uid=str(uuid.uuid4()))
        settings = context.settings.model_copy(update={"model_root": thin_model_root})
        task = TrainTask(replace(context, settings=settings), spec)
        inputs = task.download()
        return task.execute(inputs, task.load(inputs))

    return run


def test_a_training_continues_with_the_weights_of_a_saved_step(
    trained: tuple[str, dict[str, torch.Tensor]], continue_from: Callable[..., Any]
) -> None:
    model_id, before = trained

    result = continue_from({"modelId": f"{model_id}@3"})

    after = load_file(result.files[0])
    assert after.keys() == before.keys()
    assert all(torch.allclose(after[name], each, atol=1e-6) for name, each in before.items())
    assert max(float(each.abs().max()) for name, each in before.items() if "lora_B" in name) > 1e-3
    with safe_open(result.files[0], framework="pt") as file:
        assert model_id in file.metadata()["darkroom.initialLora"]
        assert len(file.metadata()["darkroom.initialLoraSha256"]) == 64


def test_a_lora_of_another_rank_is_refused(
    trained: tuple[str, dict[str, torch.Tensor]], continue_from: Callable[..., Any]
) -> None:
    with pytest.raises(ModelIncompatibleError, match=r"it has rank 4, and training\.rank is 8"):
        continue_from({"modelId": f"{trained[0]}@3"}, rank=8)


def test_a_missing_lora_is_reported(continue_from: Callable[..., Any]) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'never-trained'"):
        continue_from({"modelId": "never-trained"})


def test_a_lora_of_another_namespace_is_refused_before_the_first_request(
    open_context: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = TrainJobSpec.from_dict(
        {
            "modelId": "my-dog",
            "prompt": "a photo of sks dog",
            "dataset": {"uri": "s3://darkroom/datasets/default/none/"},
            "training": {"initialLora": {"uri": "s3://darkroom/loras/other/a.safetensors"}},
        }
    )
    context = open_context(spec)
    monkeypatch.setattr(context.storage, "_client", None)

    with pytest.raises(DatasetNotAllowedError, match="outside of the folders"):
        TrainTask(context, spec).download()
