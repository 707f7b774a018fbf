"""Prompts longer than 75 tokens, weights and clip skip. The small model has one token per character: 75 fit."""

from typing import Any

import pytest
import torch

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.prompt_embeddings import check_prompts, prompt_arguments

FITS = "x" * 75


def arguments(pipeline: Any, prompt: str, negative: str = "", **images: Any) -> dict[str, Any]:
    spec = GenerateJobSpec.from_dict({"prompt": prompt, "negativePrompt": negative, "images": images})
    return prompt_arguments(pipeline, spec)


def embeds(pipeline: Any, prompt: str, **images: Any) -> torch.Tensor:
    """Also of a prompt that is left to the pipeline: as the pipeline encodes it."""
    given = arguments(pipeline, prompt, **images)
    if "prompt_embeds" in given:
        found: torch.Tensor = given["prompt_embeds"]
        return found
    with torch.no_grad():
        encoded: torch.Tensor = pipeline.encode_prompt(given["prompt"])[0]
    return encoded


@pytest.mark.parametrize("negative", ["", "blurry"])
def test_a_prompt_that_fits_is_left_to_the_pipeline(sdxl: Any, negative: str) -> None:
    assert arguments(sdxl, FITS, negative) == {"prompt": FITS, "negative_prompt": negative or None}
    assert arguments(sdxl, r"a \(dog\)", negative)["prompt"] == "a (dog)"


def test_our_encoding_is_that_of_the_pipeline(sdxl: Any) -> None:
    """Of the first part, which fits, and of a negative prompt beside a longer prompt."""
    with torch.no_grad():
        first, negative, pooled, negative_pooled = sdxl.encode_prompt(FITS, negative_prompt="blurry")

    given = arguments(sdxl, f"{FITS} dog", "blurry")

    assert given["prompt_embeds"].shape[1] == 2 * 77
    assert given["prompt_embeds"][:, :77].equal(first)
    assert given["negative_prompt_embeds"][:, :77].equal(negative)
    assert given["pooled_prompt_embeds"].equal(pooled)
    assert given["negative_pooled_prompt_embeds"].equal(negative_pooled)


def test_words_beyond_the_first_75_tokens_have_an_effect(sdxl: Any) -> None:
    dog, cat = (embeds(sdxl, f"{FITS} {word}") for word in ("dog", "cat"))

    assert dog[:, :77].equal(cat[:, :77])
    assert not dog[:, 77:].equal(cat[:, 77:])


def test_a_long_prompt_is_split_after_a_comma_or_a_word(sdxl: Any) -> None:
    after_comma, after_word = embeds(sdxl, "yy cat dog"), embeds(sdxl, "yy")

    assert embeds(sdxl, "x" * 70 + " , yy cat dog")[:, 77:].equal(after_comma)
    assert embeds(sdxl, "x" * 74 + " yy")[:, 77:].equal(after_word)


def test_an_empty_negative_prompt_stays_zeros(sdxl: Any) -> None:
    assert "negative_prompt_embeds" not in arguments(sdxl, f"{FITS} dog")
    sdxl.register_to_config(force_zeros_for_empty_prompt=False)
    assert arguments(sdxl, f"{FITS} dog")["negative_prompt_embeds"].shape[1] == 2 * 77


def test_a_long_negative_prompt_lengthens_the_prompt(sdxl: Any) -> None:
    given = arguments(sdxl, "a dog", FITS * 2)
    assert given["prompt_embeds"].shape == given["negative_prompt_embeds"].shape
    assert given["prompt_embeds"].shape[1] == 2 * 77
    assert arguments(sdxl, "a dog", FITS * 2, guidanceScale=1.0) == {"prompt": "a dog", "negative_prompt": None}


def test_a_weight_moves_its_words_away_from_an_empty_prompt(sdxl: Any) -> None:
    plain = embeds(sdxl, "a red dog")
    with torch.no_grad():
        empty = sdxl.encode_prompt("")[0]
    words = slice(2, 5)  # after start and "a", one token per character

    for weight in (0.0, 0.5, 1.5):
        weighted = embeds(sdxl, f"a (red:{weight}) dog")
        moved = (weighted - empty)[:, words]
        assert torch.allclose(moved, weight * (plain - empty)[:, words], atol=1e-5)
        assert weighted[:, :2].equal(plain[:, :2])
        assert weighted[:, 5:].equal(plain[:, 5:])


def test_clip_skip_takes_an_earlier_layer_of_both_prompts(sdxl: Any) -> None:
    ids = sdxl.tokenizer("a dog", padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        states = [
            model(ids, output_hidden_states=True).hidden_states for model in (sdxl.text_encoder, sdxl.text_encoder_2)
        ]

    given = arguments(sdxl, "a dog", "a dog", clipSkip=1)

    assert given["prompt_embeds"].equal(torch.cat([each[-3] for each in states], dim=-1))
    assert given["negative_prompt_embeds"].equal(given["prompt_embeds"])


def test_more_layers_than_a_text_encoder_has_can_t_be_skipped(sdxl: Any) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"clipSkip": 2}})
    with pytest.raises(
        InvalidRunError, match="clipSkip is 2, and a text encoder of this base model has 2 layers: at most 1"
    ):
        check_prompts(sdxl, spec, Remarks())


def test_the_u_net_reads_all_parts(sdxl: Any) -> None:
    def draw(prompt: str) -> bytes:
        given = arguments(sdxl, prompt)
        image = sdxl(**given, num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
        return bytes(image.tobytes())

    assert draw(f"{FITS} dog") != draw(f"{FITS} cat")
