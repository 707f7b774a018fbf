"""Text conditioning of a training step. Frozen text encoders are asked once; trained ones at every step."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class Conditioning:
    """What the U-Net is told about a prompt."""

    embeddings: torch.Tensor
    """[1, tokens, width]: both text encoders' penultimate states side by side."""
    pooled: torch.Tensor
    """[1, pooled width], of the second text encoder."""


class Prompts(Protocol):
    """Prompt in, conditioning out."""

    def __call__(self, prompt: str) -> Conditioning: ...


class FrozenPrompts:
    """Remembers each prompt's conditioning, so that the text encoders may leave the device."""

    def __init__(self, pipeline: Any, prompts: Iterable[str]) -> None:
        with torch.no_grad():
            self._known = {prompt: encode(pipeline, prompt) for prompt in prompts}

    def __call__(self, prompt: str) -> Conditioning:
        return self._known[prompt]


class TrainedPrompts:
    """Asks the text encoders anew, so that gradients reach their adapters."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __call__(self, prompt: str) -> Conditioning:
        return encode(self._pipeline, prompt)


def encode(pipeline: Any, prompt: str) -> Conditioning:
    """By the pipeline's own method, so that training and drawing can't differ."""
    embeddings, _, pooled, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
    return Conditioning(embeddings, pooled)
