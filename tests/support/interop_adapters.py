"""Adapters as after a training, and the comparison of what models compute. For tests/interop."""

from typing import Any

import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.lora.adapters import Adapters, add_adapters

Outputs = dict[str, torch.Tensor]

KINDS: dict[str, dict[str, Any]] = {
    "attention": {"alpha": 2},
    "everything": {"alpha": 8, "layers": "All", "trainTextEncoders": True},
    "dora": {"alpha": 8, "dora": True},
    "dora-everything": {"alpha": 2, "layers": "All", "trainTextEncoders": True, "dora": True},
}
"""What is trained: alpha is never the rank, so a wrong strength is noticed."""


def train(pipeline: Any, settings: dict[str, Any]) -> Adapters:
    """Every part has an effect. Without the minutes that a training takes."""
    adapters = add_adapters(pipeline, Training.from_dict({"rank": 4, **settings}))
    random = torch.Generator().manual_seed(7)
    for name, parameter in adapters.parameters.items():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=random) * 0.1
        elif "magnitude" in name:
            parameter.data *= 1 + 0.1 * torch.rand(parameter.shape, generator=random)
    return adapters


def difference(one: Outputs, other: Outputs) -> float:
    """The largest of all values; also of a text encoder, whose part a reader could leave out."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)
