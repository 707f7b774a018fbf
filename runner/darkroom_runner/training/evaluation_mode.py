"""Evaluation mode in the middle of a training, to generate images or to measure a loss.

Called by `between_steps` and `session`. The training does not change: afterwards every module has its mode again, and
torch's own random numbers, which dropout uses, continue where they stopped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from darkroom_runner.models.device import Device


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


def _models(pipeline: Any) -> list[torch.nn.Module]:
    return [each for each in pipeline.components.values() if isinstance(each, torch.nn.Module)]
