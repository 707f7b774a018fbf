"""Prompt embeddings for the training steps: cached for frozen text encoders, computed in each step for trained ones."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.models.device import Device
from darkroom_runner.training.batches import Concept
from darkroom_runner.training.tags import EMPTY_PROMPT, has_tags_to_shuffle

MAX_CACHED_TEXTS = 1024
"""An SDXL text takes 0.6 MB in float32."""


@dataclass(frozen=True)
class PromptEmbeddings:
    """The U-Net's text conditioning for n prompts."""

    prompt_embeds: torch.Tensor
    """[n, tokens, width]: the penultimate hidden states of both text encoders, concatenated."""
    pooled_prompt_embeds: torch.Tensor
    """[n, pooled width], of the second text encoder."""


@dataclass(frozen=True)
class DistinctPrompts:
    """The text conditioning of a batch of n prompts, of which m are distinct."""

    embeddings: PromptEmbeddings
    """[m, ...]"""
    index: torch.Tensor
    """[n]: which of them each prompt is."""

    def expanded(self) -> PromptEmbeddings:
        """[n, ...], in the order of the prompts."""
        given = self.embeddings
        return PromptEmbeddings(given.prompt_embeds[self.index], given.pooled_prompt_embeds[self.index])


class PromptEncoder(Protocol):
    """Encodes the prompts of a batch, each distinct one once."""

    @property
    def needs_text_encoders(self) -> bool:
        """Whether later calls use the text encoders. If not, they can be moved off the device."""

    def __call__(self, prompts: list[str]) -> DistinctPrompts: ...


class FrozenPromptEncoder:
    """Encodes each text once and keeps the embeddings in memory, off the device.

    Each text is encoded on its own: a batch would give other last bits, and a resumed training other weights.
    """

    def __init__(self, pipeline: Any, device: Device, prompts: Iterable[str], new_texts: bool = False) -> None:
        """`prompts` are all texts of the training, or with `new_texts` some of them."""
        self._pipeline, self._device = pipeline, device
        self.needs_text_encoders = new_texts
        self._embeddings: OrderedDict[str, PromptEmbeddings] = OrderedDict()
        for prompt in dict.fromkeys(prompts):
            self._embeddings[prompt] = self._encode(prompt)
        self._capacity = max(MAX_CACHED_TEXTS, len(self._embeddings))

    def __call__(self, prompts: list[str]) -> DistinctPrompts:
        distinct = list(dict.fromkeys(prompts))
        found = [self._look_up(prompt) for prompt in distinct]
        together = PromptEmbeddings(
            torch.cat([each.prompt_embeds for each in found]).to(self._device.torch_device),
            torch.cat([each.pooled_prompt_embeds for each in found]).to(self._device.torch_device),
        )
        return DistinctPrompts(together, _index(prompts, distinct, self._device))

    def _look_up(self, prompt: str) -> PromptEmbeddings:
        if prompt in self._embeddings:
            self._embeddings.move_to_end(prompt)
            return self._embeddings[prompt]
        if not self.needs_text_encoders:
            raise RuntimeError(f"the text {prompt!r} was not encoded before the training")
        self._embeddings[prompt] = encoded = self._encode(prompt)
        if len(self._embeddings) > self._capacity:
            self._embeddings.popitem(last=False)
        return encoded

    def _encode(self, prompt: str) -> PromptEmbeddings:
        # Without the training step's autocast, so that a text has the same embeddings whenever it is encoded.
        with torch.no_grad(), torch.autocast(self._device.torch_device.type, enabled=False):
            encoded = encode(self._pipeline, self._device, [prompt])
        return PromptEmbeddings(encoded.prompt_embeds.cpu(), encoded.pooled_prompt_embeds.cpu())


class TrainablePromptEncoder:
    """Encodes each distinct text of a batch once, so that gradients reach the text encoders' adapters."""

    needs_text_encoders = True

    def __init__(self, pipeline: Any, device: Device) -> None:
        self._pipeline = pipeline
        self._device = device

    def __call__(self, prompts: list[str]) -> DistinctPrompts:
        distinct = list(dict.fromkeys(prompts))
        return DistinctPrompts(encode(self._pipeline, self._device, distinct), _index(prompts, distinct, self._device))


def open_prompt_encoder(
    pipeline: Any, device: Device, training: Training, concepts: Iterable[Concept]
) -> PromptEncoder:
    """The encoder for the texts of `concepts`, held-out ones included. Text encoders must be on the device."""
    if training.train_text_encoders:
        return TrainablePromptEncoder(pipeline, device)
    texts = dict.fromkeys(_texts(concepts))
    new_texts = training.shuffle_tags and any(has_tags_to_shuffle(each, training.keep_tags) for each in texts)
    return FrozenPromptEncoder(
        pipeline, device, [*texts, EMPTY_PROMPT] if training.caption_dropout else texts, new_texts
    )


def _index(prompts: list[str], distinct: list[str], device: Device) -> torch.Tensor:
    return torch.tensor([distinct.index(prompt) for prompt in prompts], device=device.torch_device)


def _texts(concepts: Iterable[Concept]) -> Iterable[str]:
    for concept in concepts:
        yield from (image.prompt for image in concept.images)
        if concept.prior is not None:
            yield from _texts([concept.prior])


def encode(pipeline: Any, device: Device, prompts: list[str]) -> PromptEmbeddings:
    """Encode with the pipeline's own method, so that training and inference can't differ.

    An empty prompt is what the pipeline takes for "no prompt": zeros if its `force_zeros_for_empty_prompt` says so, as
    for SDXL, or else the encoded empty string. The device is passed explicitly: without it, the pipeline searches all
    modules of all models at every call.
    """
    prompt_embeds, _, pooled_prompt_embeds, _ = pipeline.encode_prompt(
        prompts, device=device.torch_device, do_classifier_free_guidance=False
    )
    if EMPTY_PROMPT in prompts and pipeline.config.force_zeros_for_empty_prompt:
        given = torch.tensor([prompt != EMPTY_PROMPT for prompt in prompts], device=prompt_embeds.device)
        prompt_embeds = prompt_embeds * given.view(-1, 1, 1)
        pooled_prompt_embeds = pooled_prompt_embeds * given.view(-1, 1)
    return PromptEmbeddings(prompt_embeds, pooled_prompt_embeds)
