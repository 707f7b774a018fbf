"""Training prompts longer than CLIP reads. The small model has one token per character: 75 fit, with start and end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPTokenizer

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.errors import PromptTooLongError
from darkroom_runner.sampling.prompt_length import check_training_prompts, find_truncated

FITS = "x" * 75
TOO_LONG = FITS + " Three Green stars"
SHIPPED = Path(__file__).parents[4] / "models" / "darkroom-tiny-sdxl"


def test_the_pipeline_ignores_the_truncated_part(sdxl: Any) -> None:
    whole, cut = sdxl.encode_prompt(TOO_LONG)[0], sdxl.encode_prompt(FITS)[0]
    assert whole.equal(cut)
    assert not sdxl.encode_prompt(FITS[:-1] + "y")[0].equal(cut)


@pytest.mark.parametrize("short", ["tokenizer", "tokenizer_2"])
def test_the_stricter_tokenizer_counts(sdxl: Any, short: str) -> None:
    other = CLIPTokenizer.from_pretrained(Path(sdxl.config._name_or_path) / "tokenizer")
    other.model_max_length = 10
    setattr(sdxl, short, other)

    [cut] = find_truncated(sdxl, {"prompt": "x" * 8 + " tail"})

    assert (cut.field, cut.tokens, cut.limit, cut.unread) == ("prompt", 14, 10, "tail")


def test_words_of_several_characters_are_counted_as_tokens() -> None:
    """With the shipped tokenizer, which reads 32 tokens: a comma is one; case and spaces add none."""

    class Pipeline:
        tokenizer = tokenizer_2 = CLIPTokenizer.from_pretrained(SHIPPED / "tokenizer")

    words = ["a red circle", *["on a navy background,"] * 5, "a", "a"]
    assert find_truncated(Pipeline(), {"prompt": " ".join(words)}) == []
    [cut] = find_truncated(Pipeline(), {"prompt": " ".join([*words, "three  GREEN stars"])})
    assert (cut.tokens > 32, cut.limit) == (True, 32)
    assert cut.unread == "three  GREEN stars"


PHOTOS = {"dataset": {"uri": "s3://bucket/photos/"}}


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("prompt", {"prompt": TOO_LONG}),
        (
            "training.priorPreservation.classPrompt",
            {"training": {"priorPreservation": {"classPrompt": TOO_LONG, "classImages": 1}}},
        ),
        ("training.validationPrompt", {"training": {"validationPrompt": TOO_LONG}}),
        ("training.validationPrompts[1]", {"training": {"validationPrompts": ["a dog", TOO_LONG]}}),
        ("concepts[0].prompt", {"concepts": [{"prompt": TOO_LONG, **PHOTOS}]}),
        (
            "concepts[0].priorPreservation.classPrompt",
            {"concepts": [{"prompt": "xyz", "priorPreservation": {"classPrompt": TOO_LONG}, **PHOTOS}]},
        ),
    ],
)
def test_a_training_with_a_too_long_prompt_is_refused(sdxl: Any, field: str, spec: dict[str, Any]) -> None:
    document = {"modelId": "m", "prompt": "a photo of sks dog", "dataset": {"uri": "s3://bucket/photos/"}, **spec}
    with pytest.raises(PromptTooLongError) as caught:
        check_training_prompts(sdxl, TrainJobSpec.from_dict(document))
    assert str(caught.value).startswith(f"{field} has 92 tokens and the base model's text encoders read 77: ")
    assert "'Three Green stars' would be cut off" in str(caught.value)


def test_a_training_is_refused_when_its_model_is_loaded(open_training: Callable[..., Any]) -> None:
    with pytest.raises(PromptTooLongError):
        open_training(validationPrompt=TOO_LONG)
    assert open_training(validationPrompt=FITS)
