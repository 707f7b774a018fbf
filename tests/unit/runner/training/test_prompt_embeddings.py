"""Prompt embeddings are the same in training and in inference."""

from typing import Any

import pytest
import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.models.device import find_device
from darkroom_runner.training import prompt_embeddings
from darkroom_runner.training.batches import Concept, TrainingImage
from darkroom_runner.training.prompt_embeddings import (
    FrozenPromptEncoder,
    PromptEncoder,
    TrainablePromptEncoder,
    open_prompt_encoder,
)

PROMPTS = ["a photo of sks dog", "a photo of a dog"]


def encoder(sdxl: Any, kind: str) -> PromptEncoder:
    if kind == "trainable":
        return TrainablePromptEncoder(sdxl, find_device())
    return FrozenPromptEncoder(sdxl, find_device(), PROMPTS)


@pytest.mark.parametrize("kind", ["frozen", "trainable"])
def test_prompts_of_a_batch_equal_the_pipeline_s_own_embeddings(sdxl: Any, kind: str) -> None:
    batch = [PROMPTS[1], PROMPTS[0], PROMPTS[1]]
    encoded = encoder(sdxl, kind)(batch).expanded()
    for index, prompt in enumerate(batch):
        embeddings, _, pooled, _ = sdxl.encode_prompt(prompt)
        torch.testing.assert_close(encoded.prompt_embeds[index], embeddings[0])
        torch.testing.assert_close(encoded.pooled_prompt_embeds[index], pooled[0])
    assert not torch.equal(encoded.prompt_embeds[0], encoded.prompt_embeds[1])
    assert not torch.equal(encoded.pooled_prompt_embeds[0], encoded.pooled_prompt_embeds[1])


def test_gradients_reach_only_trained_text_encoders(sdxl: Any) -> None:
    assert encoder(sdxl, "trainable")(PROMPTS).expanded().prompt_embeds.requires_grad
    assert not encoder(sdxl, "frozen")(PROMPTS).expanded().prompt_embeds.requires_grad


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


@pytest.fixture
def encoded_texts(sdxl: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of each call of the text encoders."""
    calls: list[list[str]] = []
    encode_prompt = sdxl.encode_prompt

    def recorded(prompts: list[str], **arguments: Any) -> Any:
        calls.append(list(prompts))
        return encode_prompt(prompts, **arguments)

    monkeypatch.setattr(sdxl, "encode_prompt", recorded)
    return calls


def concepts(*prompts: str) -> list[Concept]:
    return [Concept(prompts[0], [TrainingImage(prompt, []) for prompt in prompts])]


def test_frozen_text_encoders_encode_each_text_once(sdxl: Any, encoded_texts: list[list[str]]) -> None:
    frozen = open_prompt_encoder(sdxl, find_device(), Training(), concepts(*PROMPTS, PROMPTS[0]))

    for _ in range(3):
        batch = frozen([*PROMPTS, *PROMPTS])

    assert encoded_texts == [[prompt] for prompt in PROMPTS]
    assert (len(batch.embeddings.prompt_embeds), batch.index.tolist()) == (2, [0, 1, 0, 1])
    assert not frozen.needs_text_encoders


def test_trained_text_encoders_encode_each_text_once_per_batch(sdxl: Any, encoded_texts: list[list[str]]) -> None:
    training = Training(train_text_encoders=True)
    trained = open_prompt_encoder(sdxl, find_device(), training, concepts(*PROMPTS))

    trained([PROMPTS[0], PROMPTS[0], PROMPTS[1]])

    assert encoded_texts == [PROMPTS]
    assert trained.needs_text_encoders


@pytest.mark.parametrize(
    ("prompt", "training", "needed"),
    [
        ("sks, grass, sun", {"shuffle_tags": True}, True),
        ("sks, grass, sun", {"shuffle_tags": True, "keep_tags": 2}, False),
        ("a photo of sks dog", {"shuffle_tags": True}, False),
        ("sks, grass, sun", {"caption_dropout": 0.5}, False),
    ],
    ids=["tags", "kept tags", "no tags", "dropout"],
)
def test_text_encoders_are_needed_only_while_new_texts_can_arise(
    sdxl: Any, prompt: str, training: dict[str, Any], needed: bool
) -> None:
    frozen = open_prompt_encoder(sdxl, find_device(), Training(**training), concepts(prompt))

    assert frozen.needs_text_encoders is needed
    assert frozen([prompt]).expanded().prompt_embeds.shape[0] == 1


def test_the_cache_of_shuffled_texts_is_bounded(
    sdxl: Any, encoded_texts: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_embeddings, "MAX_CACHED_TEXTS", 2)
    frozen = FrozenPromptEncoder(sdxl, find_device(), ["a"], new_texts=True)

    first = frozen(["b"]).expanded().prompt_embeds
    frozen(["c"])
    frozen(["c", "a"])
    again = frozen(["b"]).expanded().prompt_embeds

    assert [text for call in encoded_texts for text in call] == ["a", "b", "c", "a", "b"]
    assert torch.equal(first, again)


@pytest.mark.parametrize("kind", ["frozen", "trainable"])
@pytest.mark.parametrize("zeros", [True, False])
def test_an_empty_prompt_is_encoded_as_the_pipeline_does_without_a_negative_prompt(
    sdxl: Any, kind: str, zeros: bool
) -> None:
    sdxl.register_to_config(force_zeros_for_empty_prompt=zeros)
    dropped = Training(caption_dropout=0.5, train_text_encoders=kind == "trainable")
    batch = open_prompt_encoder(sdxl, find_device(), dropped, concepts(*PROMPTS))(["", PROMPTS[0]]).expanded()

    _, expected, _, expected_pooled = sdxl.encode_prompt(PROMPTS[0], do_classifier_free_guidance=True)

    torch.testing.assert_close(batch.prompt_embeds[0], expected[0])
    torch.testing.assert_close(batch.pooled_prompt_embeds[0], expected_pooled[0])
    assert bool(batch.prompt_embeds[0].any()) is not zeros
    assert batch.prompt_embeds[1].any()
