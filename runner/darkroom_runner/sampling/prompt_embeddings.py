"""Encodes the prompts of a generation: in parts if they are longer than the text encoders read, with weights.

Text encoders of CLIP read 75 tokens beside start and end. A longer prompt is split between words, preferably after a
comma, and the encoded parts are concatenated: [1, n * 77, width], as in the Stable Diffusion web UIs. A weight w moves
a token's embedding e to e0 + w * (e - e0), where e0 is the embedding of an empty prompt at the same position: at 0
nothing is left of the token, and above 1 it has more effect. ComfyUI and compel weight in the same way.

The package compel is not used: it has no clip skip, its syntax gives plus, minus and quotation marks in plain prompts a
meaning, several weights below 1 weaken each other, and its import loads the pipelines of four other model families.

A prompt that fits and has no weights is left to the pipeline, so that its images are those of diffusers.
"""

from dataclasses import dataclass
from typing import Any

import torch

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.prompt_weights import MAX_WEIGHT, WeightedText, out_of_range_weights, parse_prompt

_WORD_END, _COMMA = "</w>", ",</w>"
_EXCERPT_CHARACTERS = 100
_COMMA_FRACTION = 0.25
"""A part ends at a comma rather than at a later word if the comma is in this last fraction of it."""


@dataclass(frozen=True)
class _Token:
    number: int
    weight: float
    text: str


def check_prompts(pipeline: Any, spec: GenerateJobSpec, remarks: Remarks) -> None:
    """Raises `InvalidRunError` if `images.clipSkip` leaves no layer. Adds a remark for weights that are too large."""
    _check_clip_skip(_encoders(pipeline), spec.images.clip_skip)
    for field, prompt in {"prompt": spec.prompt, "negativePrompt": spec.negative_prompt}.items():
        if groups := out_of_range_weights(prompt):
            remarks.add(
                RemarkReason.SETTING_IGNORED,
                f"{field} has a weight above {MAX_WEIGHT:g}, {groups[0][:_EXCERPT_CHARACTERS]!r}, which is read as "
                "text. Lower the number, or put backslashes before the parentheses.",
            )


def prompt_arguments(pipeline: Any, spec: GenerateJobSpec) -> dict[str, Any]:
    """Arguments of the pipeline's call: the prompts as text, or their embeddings.

    An empty negative prompt is None: SDXL was trained with zeros for "no prompt".
    """
    encoders = _encoders(pipeline)
    skip, negative = spec.images.clip_skip, spec.negative_prompt if spec.is_guided else ""
    prompts = [parse_prompt(spec.prompt), parse_prompt(negative)]
    if not skip and all(_is_plain(encoders, each) for each in prompts):
        text, negative_text = ("".join(part.text for part in each) for each in prompts)
        return {"prompt": text, "negative_prompt": negative_text or None}
    return _embedding_arguments(pipeline, encoders, spec, prompts)


def _encoders(pipeline: Any) -> list["_Encoder"]:
    names = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
    pairs = [(getattr(pipeline, tokenizer), getattr(pipeline, model)) for tokenizer, model in names]
    return [_Encoder(tokenizer, model) for tokenizer, model in pairs if model is not None]


def _is_plain(encoders: list["_Encoder"], prompt: list[WeightedText]) -> bool:
    return all(part.weight == 1.0 for part in prompt) and all(len(each.parts(prompt)) == 1 for each in encoders)


def _check_clip_skip(encoders: list["_Encoder"], skip: int) -> None:
    most = min(each.model.config.num_hidden_layers for each in encoders) - 1
    if skip > most:
        raise InvalidRunError(
            f"images.clipSkip is {skip}, and a text encoder of this base model has {most + 1} layers: at most {most} "
            "can be skipped. Lower images.clipSkip."
        )


@torch.no_grad()
def _embedding_arguments(
    pipeline: Any, encoders: list["_Encoder"], spec: GenerateJobSpec, prompts: list[list[WeightedText]]
) -> dict[str, Any]:
    skip, has_negative = spec.images.clip_skip, bool(spec.negative_prompt)
    # The negative prompt has as many parts as the prompt, since the U-Net gets both in one batch.
    length = max(len(each.parts(prompt)) for each in encoders for prompt in prompts)
    embeds, pooled = _encode(encoders, prompts[0], length, skip)
    arguments = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
    if not spec.is_guided or (not has_negative and pipeline.config.force_zeros_for_empty_prompt):
        return arguments
    negative, negative_pooled = _encode(encoders, prompts[1], length, skip)
    return arguments | {"negative_prompt_embeds": negative, "negative_pooled_prompt_embeds": negative_pooled}


def _encode(
    encoders: list["_Encoder"], prompt: list[WeightedText], length: int, skip: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings [1, length * 77, width of all encoders], and the pooled embedding of the last encoder [1, width].

    The pooled embedding is that of the first part, without weights: it is one vector for the whole image.
    """
    encoded = [each.encode(prompt, length, skip) for each in encoders]
    dtype = encoders[-1].model.dtype
    return torch.cat([embeds for embeds, _ in encoded], dim=-1).to(dtype), encoded[-1][1]


@dataclass(frozen=True)
class _Encoder:
    """A text encoder with its tokenizer."""

    tokenizer: Any
    model: Any

    @property
    def capacity(self) -> int:
        """Tokens of a part beside start and end."""
        most: int = self.tokenizer.model_max_length
        return most - 2

    def parts(self, prompt: list[WeightedText]) -> list[list[_Token]]:
        """The tokens of each part, at least one part."""
        left = self._tokens(prompt)
        parts = []
        while len(left) > self.capacity:
            end = self._end_of_part(left)
            parts.append(left[:end])
            left = left[end:]
        return [*parts, left] if left or not parts else parts

    def encode(self, prompt: list[WeightedText], length: int, skip: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings [1, length * 77, width]; parts beyond the prompt's own are empty. And the first output, which is
        the pooled embedding of the first part for a text encoder with projection."""
        parts = self.parts(prompt)
        parts += [[]] * (length - len(parts))
        encoded = [self._encode_part(part, skip) for part in parts]
        return torch.cat([embeds for embeds, _ in encoded], dim=1), encoded[0][1]

    def _tokens(self, prompt: list[WeightedText]) -> list[_Token]:
        tokens = []
        for part in prompt:
            numbers = self.tokenizer(part.text, add_special_tokens=False, truncation=False, verbose=False).input_ids
            texts = self.tokenizer.convert_ids_to_tokens(numbers)
            tokens += [_Token(number, part.weight, text) for number, text in zip(numbers, texts, strict=True)]
        return tokens

    def _end_of_part(self, tokens: list[_Token]) -> int:
        """Where to split: after the last comma near the end, else after the last whole word, else anywhere."""
        nearest = int(self.capacity * (1 - _COMMA_FRACTION))
        ends = range(self.capacity, 0, -1)
        comma = next((end for end in ends if end > nearest and tokens[end - 1].text == _COMMA), None)
        word = next((end for end in ends if tokens[end - 1].text.endswith(_WORD_END)), None)
        return comma or word or self.capacity

    def _encode_part(self, tokens: list[_Token], skip: int) -> tuple[torch.Tensor, torch.Tensor]:
        embeds, pooled = self._run([each.number for each in tokens], skip)
        weights = [each.weight for each in tokens]
        if all(weight == 1.0 for weight in weights):
            return embeds, pooled
        empty, _ = self._run([], skip)
        scale = torch.ones(embeds.shape[1], device=embeds.device, dtype=embeds.dtype)
        scale[1 : 1 + len(weights)] = torch.tensor(weights, device=embeds.device, dtype=embeds.dtype)
        weighted = empty + scale.view(1, -1, 1) * (embeds - empty)
        # Tokens of weight 1 keep their embeddings bit by bit.
        return torch.where(scale.view(1, -1, 1) == 1, embeds, weighted), pooled

    def _run(self, numbers: list[int], skip: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states [1, 77, width] before the last `skip + 1` layers, as the pipeline takes them, and the first
        output. The pipelines don't mask the padding either."""
        tokenizer = self.tokenizer
        padding = [tokenizer.pad_token_id] * (self.capacity - len(numbers))
        framed = [tokenizer.bos_token_id, *numbers, tokenizer.eos_token_id, *padding]
        output = self.model(torch.tensor([framed], device=self.model.device), output_hidden_states=True)
        return output.hidden_states[-(skip + 2)], output[0]
