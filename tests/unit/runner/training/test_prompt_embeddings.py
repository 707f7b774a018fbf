"""Prompt embeddings are the same in training and in inference."""

from typing import Any

import pytest
import torch

from darkroom_runner.models.device import find_device
from darkroom_runner.training.prompt_embeddings import FrozenPromptEncoder, PromptEncoder, TrainablePromptEncoder

PROMPTS = ["a photo of sks dog", "a photo of a dog"]


def encoder(sdxl: Any, kind: str) -> PromptEncoder:
    if kind == "trainable":
        return TrainablePromptEncoder(sdxl, find_device())
    return FrozenPromptEncoder(sdxl, find_device(), PROMPTS)


@pytest.mark.parametrize("kind", ["frozen", "trainable"])
def test_prompts_of_a_batch_equal_the_pipeline_s_own_embeddings(sdxl: Any, kind: str) -> None:
    batch = [PROMPTS[1], PROMPTS[0], PROMPTS[1]]
    encoded = encoder(sdxl, kind)(batch)
    for index, prompt in enumerate(batch):
        embeddings, _, pooled, _ = sdxl.encode_prompt(prompt)
        torch.testing.assert_close(encoded.prompt_embeds[index], embeddings[0])
        torch.testing.assert_close(encoded.pooled_prompt_embeds[index], pooled[0])
    assert not torch.equal(encoded.prompt_embeds[0], encoded.prompt_embeds[1])
    assert not torch.equal(encoded.pooled_prompt_embeds[0], encoded.pooled_prompt_embeds[1])


def test_gradients_reach_only_trained_text_encoders(sdxl: Any) -> None:
    assert encoder(sdxl, "trainable")(PROMPTS).prompt_embeds.requires_grad
    assert not encoder(sdxl, "frozen")(PROMPTS).prompt_embeds.requires_grad


def test_encoding_does_not_search_the_models_for_their_device(sdxl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That search visits every module of every model, including the adapters."""

    searches: list[object] = []

    def search(self: Any) -> torch.device:
        searches.append(self)
        return torch.device("cpu")

    monkeypatch.setattr(type(sdxl), "_execution_device", property(search))
    encoder(sdxl, "trainable")(PROMPTS)
    assert searches == []
    sdxl.encode_prompt(PROMPTS)
    assert searches
