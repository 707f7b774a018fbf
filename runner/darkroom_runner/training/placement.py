"""Which models are on the device, and in which mode, while a training pauses to generate images or to measure a loss.

Called by `between_steps` and `session`. Nothing here changes the training: afterwards every model is where it was and in
the mode in which it was, and torch's random numbers, which dropout uses, continue where they stopped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from darkroom_runner.models.device import Device, free_memory


@contextmanager
def evaluation_mode(pipeline: Any, device: Device) -> Iterator[None]:
    """All models in evaluation mode; their modes and torch's random state are restored afterwards."""
    modes = {module: module.training for model in _models(pipeline) for module in model.modules()}
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.is_cuda else []):
        try:
            for model in _models(pipeline):
                model.eval()
            yield
        finally:
            for module, training in modes.items():
                module.training = training


@contextmanager
def ready_to_generate(pipeline: Any, device: Device) -> Iterator[None]:
    """`evaluation_mode` with all models on the device. Those that the training keeps on the CPU go back there.

    Only these are moved: a quantized U-Net refuses to be.
    """
    with evaluation_mode(pipeline, device):
        away = [model for model in _models(pipeline) if _device_type(model) != device.torch_device.type]
        try:
            for model in away:
                model.to(device.torch_device)
            yield
        finally:
            for model in away:
                model.to("cpu")
            if device.is_cuda:
                free_memory()


def _models(pipeline: Any) -> list[torch.nn.Module]:
    return [each for each in pipeline.components.values() if isinstance(each, torch.nn.Module)]


def _device_type(model: torch.nn.Module) -> str:
    return next(model.parameters()).device.type
