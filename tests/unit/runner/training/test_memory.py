"""The memory plan: what is picked for which device, free memory and job; the estimate against what torch keeps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.pipeline_copies import PipelineCopies

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import Training
from darkroom_contract.specs.training_choices import Quantization
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.lora.adapters import add_adapters
from darkroom_runner.models.device import Device, find_device
from darkroom_runner.training import memory, memory_estimate
from darkroom_runner.training.memory import MemoryPlan, choose_quantization, plan_memory

SHAPE = (8, 8)


def cuda(capability: tuple[int, int]) -> Device:
    class Card(Device):
        @property
        def capability(self) -> tuple[int, int]:
            return capability

    return Card(torch.device("cuda"), torch.float16, torch.bfloat16)


def plan(unet: Any, monkeypatch: pytest.MonkeyPatch, free: int = 1 << 40, **training: Any) -> MemoryPlan:
    spec = TrainJobSpec.from_dict(
        {"modelId": "m", "prompt": "p", "dataset": {"uri": "s3://bucket/photos/"}, "training": training}
    )
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    return plan_memory(find_device(), spec, unet, [SHAPE])


@pytest.fixture
def unet(sdxl_copies: PipelineCopies) -> Any:
    """With as many layers in each block as the real one: the estimate is of them all."""
    pipeline = sdxl_copies.copy()
    add_adapters(pipeline, Training(rank=4))
    return pipeline.unet


def test_auto_saves_nothing_that_costs_when_there_is_enough(unet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan(unet, monkeypatch) == MemoryPlan(gradient_checkpointing=False, idle_models_off_device=True)


def test_auto_keeps_models_that_images_need_on_the_cpu(unet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not plan(unet, monkeypatch, validationPrompt="a dog").idle_models_off_device


def test_auto_checkpoints_on_a_full_device_and_says_why(unet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(unet, monkeypatch, free=2**20, validationPrompt="a dog")

    assert found.gradient_checkpointing
    assert found.idle_models_off_device
    assert found.remark is not None
    assert "0.0 GiB are free" in found.remark
    assert "training.batchSize" in found.remark


def test_low_saves_all_it_can_on_any_device(unet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(unet, monkeypatch, memory="Low", validationPrompt="a dog")

    assert found.gradient_checkpointing
    assert found.idle_models_off_device
    assert found.remark is not None
    assert found.remark.startswith("training.memory Low")


@pytest.mark.parametrize(
    ("device", "settings", "chosen"),
    [
        (find_device(), {}, Quantization.DISABLED),
        (find_device(), {"memory": "Low"}, Quantization.DISABLED),
        (cuda((8, 0)), {}, Quantization.DISABLED),
        (cuda((8, 0)), {"memory": "Low"}, Quantization.NF4),
        (cuda((8, 0)), {"memory": "Low", "quantization": "Disabled"}, Quantization.DISABLED),
        (cuda((8, 0)), {"quantization": "NF4"}, Quantization.NF4),
        (cuda((8, 9)), {"quantization": "FP8"}, Quantization.FP8),
    ],
)
def test_quantization_by_device_and_job(device: Device, settings: dict[str, Any], chosen: Quantization) -> None:
    assert choose_quantization(device, Training.from_dict(settings)) is chosen


def test_fp8_on_an_older_card_is_refused_with_advice() -> None:
    with pytest.raises(InvalidRunError, match=r"this one has 8\.6\. Set it to NF4"):
        choose_quantization(cuda((8, 6)), Training.from_dict({"quantization": "FP8"}))


def kept_elements(unet: Any, side: int) -> int:
    """Numbers that torch keeps of one sample for the backward pass, without the model's own weights."""
    own = {each.data_ptr() for each in unet.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes() // 4
        return tensor

    config = unet.config
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        unet(
            torch.randn(1, 4, side, side),
            torch.tensor([500]),
            encoder_hidden_states=torch.randn(1, 77, config.cross_attention_dim),
            added_cond_kwargs={"text_embeds": torch.randn(1, pooled), "time_ids": torch.ones(1, 6)},
        )
    return sum(sizes.values())


def test_the_estimate_is_close_to_what_torch_keeps(unet: Any) -> None:
    """At 64×64 latents, where text and timesteps hardly count."""
    kept, estimated = kept_elements(unet, 64), memory_estimate.activation_elements(unet.config, (64, 64))

    assert 0.7 < estimated / kept < 1.5


def test_a_step_needs_memory_in_proportion_to_its_samples_and_area(unet: Any) -> None:
    device = find_device()
    one, four, wide = (
        memory_estimate.step_bytes(unet, shape, samples, device)
        for shape, samples in (((64, 64), 1), ((64, 64), 4), ((64, 256), 1))
    )

    assert four == wide
    assert 3.5 < four / one < 4


def test_a_step_that_runs_out_of_memory_is_repeated_with_gradient_checkpointing(
    open_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"gradientAccumulationSteps": 2, "loraDropout": 0.2, "trainTextEncoders": True}
    plain, short = open_job(**settings), open_job(**settings)
    unet, passes = short.session.pipeline.unet, list[bool]()
    forward = unet.forward

    def run_out(*arguments: Any, **more: Any) -> Any:
        passes.append(unet.is_gradient_checkpointing)
        if len(passes) == 4:  # The second pass of the second step: the first one's gradients are there.
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*arguments, **more)

    monkeypatch.setattr(unet, "forward", run_out)
    short.train()
    plain.train()

    assert passes == [False] * 4 + [True] * 6
    assert short.losses == plain.losses
    assert short.remarks == ["MemorySaved"]


def test_a_step_that_needs_too_much_memory_even_so_fails(
    open_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = open_job()

    def run_out(*arguments: Any, **more: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(job.session.pipeline.unet, "forward", run_out)

    with pytest.raises(torch.OutOfMemoryError):
        job.train()
