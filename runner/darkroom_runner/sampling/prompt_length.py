"""Finds training prompts that are longer than the text encoders read: 77 tokens for CLIP, including start and end.

The pipelines truncate longer prompts with a warning that the log level hides. A training fails instead, since its rare
token may be in the truncated part and would then not be trained. Generations encode long prompts in parts
(`prompt_embeddings`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.errors import PromptTooLongError

_TOKENIZERS = ("tokenizer", "tokenizer_2")
_EXCERPT_CHARACTERS = 200


@dataclass(frozen=True)
class TruncatedPrompt:
    """A prompt that a text encoder truncates."""

    field: str
    """Its field in the job's spec."""
    tokens: int
    """Length of the whole prompt, including start and end."""
    limit: int
    unread: str
    """The part that is cut off."""

    @property
    def excerpt(self) -> str:
        """The unread part, shortened in the middle to fit into a remark."""
        if len(self.unread) <= _EXCERPT_CHARACTERS:
            return self.unread
        half = _EXCERPT_CHARACTERS // 2
        return f"{self.unread[:half]} … {self.unread[-half:]}"


def check_training_prompts(pipeline: Any, spec: TrainJobSpec) -> None:
    """Raises `PromptTooLongError` for the first prompt of a training that is too long."""
    for each in find_truncated(pipeline, _training_prompts(spec)):
        raise PromptTooLongError(
            f"{each.field} has {each.tokens} tokens and the base model's text encoders read {each.limit}: "
            f"'{each.excerpt}' would be cut off. Create a new job with a shorter {each.field}."
        )


def _training_prompts(spec: TrainJobSpec) -> dict[str, str]:
    """All prompts of a training by their field; captions are checked with the photos."""
    training = spec.training
    prompts = {"prompt": spec.prompt}
    if training.prior_preservation is not None:
        prompts["training.priorPreservation.classPrompt"] = training.prior_preservation.class_prompt
    for index, concept in enumerate(spec.concepts):
        prompts[f"concepts[{index}].prompt"] = concept.prompt
        if concept.prior_preservation is not None:
            prompts[f"concepts[{index}].priorPreservation.classPrompt"] = concept.prior_preservation.class_prompt
    if training.validation_prompt is not None:
        prompts["training.validationPrompt"] = training.validation_prompt
    listed = {f"training.validationPrompts[{index}]": each for index, each in enumerate(training.validation_prompts)}
    return prompts | listed


def find_truncated(pipeline: Any, prompts: Mapping[str, str]) -> list[TruncatedPrompt]:
    """The prompts (by field) that a tokenizer of the pipeline truncates; if both do, with the longer unread part."""
    found = []
    for field, prompt in prompts.items():
        truncated = [_truncate(getattr(pipeline, name, None), field, prompt) for name in _TOKENIZERS]
        cut = [each for each in truncated if each is not None]
        if cut:
            found.append(max(cut, key=lambda each: len(each.unread)))
    return found


def _truncate(tokenizer: Any, field: str, prompt: str) -> TruncatedPrompt | None:
    if tokenizer is None:
        return None
    encoded = tokenizer(prompt, truncation=False, return_offsets_mapping=True, verbose=False)
    tokens, limit = len(encoded.input_ids), tokenizer.model_max_length
    if tokens <= limit:
        return None
    # The end token takes the last of the `limit` positions.
    first_unread, _ = encoded.offset_mapping[limit - 1]
    return TruncatedPrompt(field, tokens, limit, prompt[first_unread:].strip())
