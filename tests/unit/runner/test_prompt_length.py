"""Prompts that are longer than CLIP reads. The small model has one token a character: 75 and two ends fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPTokenizer

from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec
from darkroom_runner.errors import PromptTooLongError
from darkroom_runner.prompt_length import check_training_prompts, overlong, remark_on_cut_prompts
from darkroom_runner.remarks import Remarks

FITS = "x" * 75
TOO_LONG = FITS + " Three Green stars"
SHIPPED = Path(__file__).parents[3] / "models" / "darkroom-tiny-sdxl"


def remarks_on(pipeline: Any, **spec: Any) -> list[str]:
    remarks = Remarks()
    remark_on_cut_prompts(pipeline, GenerateJobSpec.from_dict({"prompt": "a dog", **spec}), remarks)
    assert {each.reason for each in remarks.found} <= {"PromptTruncated"}
    return [each.message for each in remarks.found]


def test_what_is_cut_off_is_quoted_as_it_was_written(sdxl: Any) -> None:
    [message] = remarks_on(sdxl, prompt=TOO_LONG)
    # Spaces are no tokens.
    assert message.startswith("prompt has 92 tokens; the text encoders read 77 tokens. Not read: 'Three Green stars'.")


def test_of_a_long_end_the_remark_has_both_ends_and_the_log_all(sdxl: Any, caplog: pytest.LogCaptureFixture) -> None:
    middle = "very detailed, " * 40
    with caplog.at_level("INFO"):
        [message] = remarks_on(sdxl, prompt=f"{FITS} first words {middle}last wish")
    assert len(message) < 400
    assert "Not read: 'first words very" in message
    assert "last wish'. Shorten it" in message
    assert f"not read of prompt: first words {middle}last wish" in caplog.text


def test_a_prompt_that_just_fits_is_not_remarked_upon(sdxl: Any) -> None:
    assert remarks_on(sdxl, prompt=FITS, negativePrompt=FITS) == []


def test_the_pipeline_really_reads_no_further(sdxl: Any) -> None:
    whole, cut = sdxl.encode_prompt(TOO_LONG)[0], sdxl.encode_prompt(FITS)[0]
    assert whole.equal(cut)
    assert not sdxl.encode_prompt(FITS[:-1] + "y")[0].equal(cut)


def test_negative_prompts_are_measured_while_guidance_reads_them(sdxl: Any) -> None:
    [message] = remarks_on(sdxl, negativePrompt=TOO_LONG)
    assert message.startswith("negativePrompt has 92 tokens")
    assert remarks_on(sdxl, negativePrompt=TOO_LONG, images={"guidanceScale": 1.0}) == []


@pytest.mark.parametrize("short", ["tokenizer", "tokenizer_2"])
def test_the_stricter_of_both_tokenizers_counts(sdxl: Any, short: str) -> None:
    other = CLIPTokenizer.from_pretrained(Path(sdxl.config._name_or_path) / "tokenizer")
    other.model_max_length = 10
    setattr(sdxl, short, other)

    [cut] = overlong(sdxl, {"prompt": "x" * 8 + " tail"})

    assert (cut.field, cut.tokens, cut.limit, cut.unread) == ("prompt", 14, 10, "tail")


def test_words_of_several_characters_are_counted_as_tokens() -> None:
    """By the shipped tokenizer, which reads 32 tokens: a comma is one, capitals and spaces are none."""

    class Pipeline:
        tokenizer = tokenizer_2 = CLIPTokenizer.from_pretrained(SHIPPED / "tokenizer")

    words = ["a red circle", *["on a navy background,"] * 5, "a", "a"]
    assert overlong(Pipeline(), {"prompt": " ".join(words)}) == []
    [cut] = overlong(Pipeline(), {"prompt": " ".join([*words, "three  GREEN stars"])})
    assert (cut.tokens > 32, cut.limit) == (True, 32)
    assert cut.unread == "three  GREEN stars"


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("prompt", {"prompt": TOO_LONG}),
        (
            "training.priorPreservation.classPrompt",
            {"training": {"priorPreservation": {"classPrompt": TOO_LONG, "classImages": 1}}},
        ),
        ("training.validationPrompt", {"training": {"validationPrompt": TOO_LONG}}),
    ],
)
def test_a_training_is_refused_with_the_prompt_that_is_too_long(sdxl: Any, field: str, spec: dict[str, Any]) -> None:
    document = {"modelId": "m", "prompt": "a photo of sks dog", "dataset": {"uri": "s3://bucket/photos/"}, **spec}
    with pytest.raises(PromptTooLongError) as caught:
        check_training_prompts(sdxl, TrainJobSpec.from_dict(document))
    assert str(caught.value).startswith(f"{field} has 92 tokens and the base model's text encoders read 77: ")
    assert "'Three Green stars' would be cut off" in str(caught.value)


def test_a_training_is_refused_as_soon_as_its_model_is_loaded(open_training: Callable[..., Any]) -> None:
    with pytest.raises(PromptTooLongError):
        open_training(validationPrompt=TOO_LONG)
    assert open_training(validationPrompt=FITS)
