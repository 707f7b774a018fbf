"""Text conditioning of a training step. Frozen text encoders are asked once; trained ones at every step."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from darkroom_runner.device import Device


@dataclass(frozen=True)
class Conditioning:
    """What the U-Net is told about n prompts."""

    embeddings: torch.Tensor
    """[n, tokens, width]: both text encoders' penultimate states side by side."""
    pooled: torch.Tensor
    """[n, pooled width], of the second text encoder."""


class Prompts(Protocol):
    """The conditioning on all prompts of a training, in their order."""

    def __call__(self) -> Conditioning: ...


class FrozenPrompts:
    """Remembers the conditioning, so that the text encoders may leave the device."""

    def __init__(self, pipeline: Any, device: Device, prompts: list[str]) -> None:
        with torch.no_grad():
            self._known = encode(pipeline, device, prompts)

    def __call__(self) -> Conditioning:
        return self._known


class TrainedPrompts:
    """Asks the text encoders anew, so that gradients reach their adapters."""

    def __init__(self, pipeline: Any, device: Device, prompts: list[str]) -> None:
        self._pipeline = pipeline
        self._device = device
        self._prompts = prompts

    def __call__(self) -> Conditioning:
        return encode(self._pipeline, self._device, self._prompts)


def encode(pipeline: Any, device: Device, prompts: list[str]) -> Conditioning:
    """By the pipeline's own method, so that training and drawing can't differ.

    It is told the device: to find that out by itself it goes through every module of every model, at every call.
    """
    embeddings, _, pooled, _ = pipeline.encode_prompt(prompts, device=device.place, do_classifier_free_guidance=False)
    return Conditioning(embeddings, pooled)
