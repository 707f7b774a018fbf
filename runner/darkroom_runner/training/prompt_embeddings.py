"""Prompt embeddings for the training steps: computed once for frozen text encoders, at every step for trained ones."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from darkroom_runner.models.device import Device


@dataclass(frozen=True)
class PromptEmbeddings:
    """The U-Net's text conditioning for n prompts."""

    prompt_embeds: torch.Tensor
    """[n, tokens, width]: the penultimate hidden states of both text encoders, concatenated."""
    pooled_prompt_embeds: torch.Tensor
    """[n, pooled width], of the second text encoder."""


class PromptEncoder(Protocol):
    """Encodes the prompts of a training's concepts, in their order."""

    def __call__(self) -> PromptEmbeddings: ...


class FrozenPromptEncoder:
    """Encodes the prompts once, so that the text encoders can be moved off the device."""

    def __init__(self, pipeline: Any, device: Device, prompts: list[str]) -> None:
        with torch.no_grad():
            self._embeddings = encode(pipeline, device, prompts)

    def __call__(self) -> PromptEmbeddings:
        return self._embeddings


class TrainablePromptEncoder:
    """Encodes the prompts at every call, so that gradients reach the text encoders' adapters."""

    def __init__(self, pipeline: Any, device: Device, prompts: list[str]) -> None:
        self._pipeline = pipeline
        self._device = device
        self._prompts = prompts

    def __call__(self) -> PromptEmbeddings:
        return encode(self._pipeline, self._device, self._prompts)


def encode(pipeline: Any, device: Device, prompts: list[str]) -> PromptEmbeddings:
    """Encode with the pipeline's own method, so that training and inference can't differ.

    The device is passed explicitly: without it, the pipeline searches all modules of all models at every call.
    """
    prompt_embeds, _, pooled_prompt_embeds, _ = pipeline.encode_prompt(
        prompts, device=device.torch_device, do_classifier_free_guidance=False
    )
    return PromptEmbeddings(prompt_embeds, pooled_prompt_embeds)
