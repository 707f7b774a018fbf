"""Prompts against what the text encoders read: CLIP's 77 tokens with start and end, fewer in small models.

Called by `drawing` and the training session. The pipelines cut the rest off, with a warning that the log's level hides.
A generation remarks upon what was cut; a training is refused, since its rare word may lie behind the cut and would
train nothing.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec
from darkroom_runner.errors import PromptTooLongError
from darkroom_runner.remarks import Remarks

log = logging.getLogger(__name__)

_TOKENIZERS = ("tokenizer", "tokenizer_2")
_EXCERPT_CHARACTERS = 200


@dataclass(frozen=True)
class Overlong:
    """A prompt that a text encoder does not read to its end."""

    field: str
    """As the job's spec names it."""
    tokens: int
    """Of the whole prompt, with start and end."""
    limit: int
    unread: str
    """The end of the prompt that is cut off."""

    @property
    def excerpt(self) -> str:
        """Its beginning and its end, short enough for a remark."""
        if len(self.unread) <= _EXCERPT_CHARACTERS:
            return self.unread
        half = _EXCERPT_CHARACTERS // 2
        return f"{self.unread[:half]} … {self.unread[-half:]}"


def remark_on_cut_prompts(pipeline: Any, spec: GenerateJobSpec, remarks: Remarks) -> None:
    """Add `PromptTruncated` for each prompt of a generation that is longer than its text encoders read."""
    prompts = {"prompt": spec.prompt}
    if spec.is_guided:
        prompts["negativePrompt"] = spec.negative_prompt
    for each in overlong(pipeline, prompts):
        remarks.add(
            RemarkReason.PROMPT_TRUNCATED,
            f"{each.field} has {each.tokens} tokens; the text encoders read {each.limit} tokens. Not read: "
            f"'{each.excerpt}'. Shorten it, or put what matters first.",
        )
        log.info("not read of %s: %s", each.field, each.unread)


def check_training_prompts(pipeline: Any, spec: TrainJobSpec) -> None:
    """Raises `PromptTooLongError` for the first prompt of a training that is longer than its text encoders read."""
    training = spec.training
    prompts = {"prompt": spec.prompt}
    if training.prior_preservation is not None:
        prompts["training.priorPreservation.classPrompt"] = training.prior_preservation.class_prompt
    if training.validation_prompt is not None:
        prompts["training.validationPrompt"] = training.validation_prompt
    for each in overlong(pipeline, prompts):
        raise PromptTooLongError(
            f"{each.field} has {each.tokens} tokens and the base model's text encoders read {each.limit}: "
            f"'{each.excerpt}' would be cut off. Create a new job with a shorter {each.field}."
        )


def overlong(pipeline: Any, prompts: Mapping[str, str]) -> list[Overlong]:
    """The prompts, by field, that one of the pipeline's tokenizers cuts; with what the strictest one leaves unread."""
    found = []
    for field, prompt in prompts.items():
        cut = [each for name in _TOKENIZERS if (each := _cut(getattr(pipeline, name, None), field, prompt)) is not None]
        if cut:
            found.append(max(cut, key=lambda each: len(each.unread)))
    return found


def _cut(tokenizer: Any, field: str, prompt: str) -> Overlong | None:
    if tokenizer is None:
        return None
    encoded = tokenizer(prompt, truncation=False, return_offsets_mapping=True, verbose=False)
    tokens, limit = len(encoded.input_ids), tokenizer.model_max_length
    if tokens <= limit:
        return None
    # The last token that is read is the end token: it takes the place of one of the prompt's own.
    first_unread, _ = encoded.offset_mapping[limit - 1]
    return Overlong(field, tokens, limit, prompt[first_unread:].strip())
