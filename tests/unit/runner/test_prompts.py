"""What the U-Net is told while it trains is what it is told when it draws."""

from typing import Any

import pytest
import torch

from darkroom_runner.device import find_device
from darkroom_runner.training.prompts import FrozenPrompts, TrainedPrompts

PROMPTS = ["a photo of sks dog", "a photo of a dog"]


@pytest.mark.parametrize("kind", [FrozenPrompts, TrainedPrompts])
def test_prompts_encoded_together_are_each_what_the_pipeline_draws_it_by(
    sdxl: Any, kind: type[FrozenPrompts | TrainedPrompts]
) -> None:
    known = kind(sdxl, find_device(), PROMPTS)()
    for place, prompt in enumerate(PROMPTS):
        embeddings, _, pooled, _ = sdxl.encode_prompt(prompt)
        torch.testing.assert_close(known.embeddings[place], embeddings[0])
        torch.testing.assert_close(known.pooled[place], pooled[0])
    assert not torch.equal(known.embeddings[0], known.embeddings[1])
    assert not torch.equal(known.pooled[0], known.pooled[1])


def test_gradients_reach_trained_text_encoders_and_no_frozen_ones(sdxl: Any) -> None:
    assert TrainedPrompts(sdxl, find_device(), PROMPTS)().embeddings.requires_grad
    assert not FrozenPrompts(sdxl, find_device(), PROMPTS)().embeddings.requires_grad


def test_the_models_are_not_searched_for_their_device_at_every_step(sdxl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That goes through every module of every model, and through an adapter's as well."""

    searches: list[object] = []

    def search(self: Any) -> torch.device:
        searches.append(self)
        return torch.device("cpu")

    monkeypatch.setattr(type(sdxl), "_execution_device", property(search))
    TrainedPrompts(sdxl, find_device(), PROMPTS)()
    assert searches == []
    sdxl.encode_prompt(PROMPTS)
    assert searches
