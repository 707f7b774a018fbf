"""Prompt embeddings are the same in training and in inference."""

from typing import Any

import pytest
import torch

from darkroom_runner.models.device import find_device
from darkroom_runner.training.prompt_embeddings import FrozenPromptEncoder, TrainablePromptEncoder

PROMPTS = ["a photo of sks dog", "a photo of a dog"]


@pytest.mark.parametrize("kind", [FrozenPromptEncoder, TrainablePromptEncoder])
def test_prompts_encoded_together_equal_the_pipeline_s_own_embeddings(
    sdxl: Any, kind: type[FrozenPromptEncoder | TrainablePromptEncoder]
) -> None:
    encoded = kind(sdxl, find_device(), PROMPTS)()
    for index, prompt in enumerate(PROMPTS):
        embeddings, _, pooled, _ = sdxl.encode_prompt(prompt)
        torch.testing.assert_close(encoded.prompt_embeds[index], embeddings[0])
        torch.testing.assert_close(encoded.pooled_prompt_embeds[index], pooled[0])
    assert not torch.equal(encoded.prompt_embeds[0], encoded.prompt_embeds[1])
    assert not torch.equal(encoded.pooled_prompt_embeds[0], encoded.pooled_prompt_embeds[1])


def test_gradients_reach_only_trained_text_encoders(sdxl: Any) -> None:
    assert TrainablePromptEncoder(sdxl, find_device(), PROMPTS)().prompt_embeds.requires_grad
    assert not FrozenPromptEncoder(sdxl, find_device(), PROMPTS)().prompt_embeds.requires_grad


def test_encoding_does_not_search_the_models_for_their_device(sdxl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That search visits every module of every model, including the adapters."""

    searches: list[object] = []

    def search(self: Any) -> torch.device:
        searches.append(self)
        return torch.device("cpu")

    monkeypatch.setattr(type(sdxl), "_execution_device", property(search))
    TrainablePromptEncoder(sdxl, find_device(), PROMPTS)()
    assert searches == []
    sdxl.encode_prompt(PROMPTS)
    assert searches
