"""The precision chosen for a GPU. Without a GPU, torch's answers about it are patched."""

import pytest
import torch

from darkroom_runner.models.device import find_device


@pytest.mark.parametrize(
    ("gpu", "has_bfloat16", "training"),
    [("NVIDIA H200", True, torch.bfloat16), ("Tesla T4", False, torch.float32)],
)
def test_a_gpu_that_only_emulates_bfloat16_trains_in_float32(
    monkeypatch: pytest.MonkeyPatch, gpu: str, has_bfloat16: bool, training: torch.dtype
) -> None:
    def is_supported(including_emulation: bool = True) -> bool:
        return has_bfloat16 or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)

    device = find_device()

    assert device.training_dtype is training
    assert device.inference_dtype is torch.float16
