"""Transformers of SDXL's U-Net with the prompt's keys and values computed once per generation.

The prompt is the same at every step, so its keys and values are too: computing them once gives bit-equal results. After
the attention to the prompt has converged (T-GATE, arXiv 2404.02747), its result can be reused as well, which is an
approximation. Any transformer that is not of SDXL's standard form runs as diffusers does it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0

KeyValue = tuple[torch.Tensor, torch.Tensor]


class PromptAttention:
    """Runs transformers and remembers what does not change between the steps of one generation."""

    def __init__(self) -> None:
        self.reuse_results = False
        """Whether to reuse the last result of the attention to the prompt, where there is one of the same shape."""
        self._context: torch.Tensor | None = None
        self._key_values: dict[Any, KeyValue] = {}
        self._results: dict[Any, torch.Tensor] = {}
        self._standard: dict[Any, bool] = {}

    def transform(self, transformer: Any, hidden: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """`transformer(hidden)` with `hidden` [n, c, h, w] and the prompt's embeddings `context` [n, tokens, width]."""
        if not self._is_standard(transformer):
            result: torch.Tensor = transformer(hidden, encoder_hidden_states=context, return_dict=False)[0]
            return result
        batch, _, height, width = hidden.shape
        tokens, inner = transformer._operate_on_continuous_inputs(hidden)
        for block in transformer.transformer_blocks:
            tokens = block.attn1.processor(block.attn1, block.norm1(tokens)) + tokens
            tokens = self._attend(block, tokens, context) + tokens
            tokens = block.ff(block.norm3(tokens)) + tokens
        result = transformer._get_output_for_continuous_inputs(tokens, hidden, batch, height, width, inner)
        return result

    def _attend(self, block: Any, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The attention to the prompt: the same operations as diffusers' `AttnProcessor2_0`."""
        attention = block.attn2
        earlier = self._results.get(attention)
        if self.reuse_results and earlier is not None and len(earlier) >= len(tokens):
            return earlier[len(earlier) - len(tokens) :]
        key, value = self._key_value(attention, context)
        query = _heads(attention, attention.to_q(block.norm2(tokens)))
        attended = F.scaled_dot_product_attention(query, key, value)
        result: torch.Tensor = attention.to_out[0](
            attended.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[1], -1)
        )
        if earlier is None or len(result) == len(earlier):
            self._results[attention] = result
        return result

    def _key_value(self, attention: Any, context: torch.Tensor) -> KeyValue:
        known = self._key_values.get(attention)
        if known is None:
            known = _heads(attention, attention.to_k(context)), _heads(attention, attention.to_v(context))
            self._key_values[attention] = known
        # With one input instead of two, the conditional one: the second half.
        skipped = len(known[0]) - len(context)
        return (known[0][skipped:], known[1][skipped:]) if skipped else known

    def _is_standard(self, transformer: Any) -> bool:
        if transformer not in self._standard:
            self._standard[transformer] = is_standard(transformer)
        return self._standard[transformer]


def _heads(attention: Any, tokens: torch.Tensor) -> torch.Tensor:
    """[n, tokens, width] → [n, heads, tokens, width / heads]."""
    return tokens.view(tokens.shape[0], -1, attention.heads, tokens.shape[-1] // attention.heads).transpose(1, 2)


def is_standard(transformer: Any) -> bool:
    """Whether a transformer has the form of SDXL's, so that `PromptAttention` computes exactly the same."""
    return bool(getattr(transformer, "is_input_continuous", False)) and all(
        block.norm_type == "layer_norm"
        and block.pos_embed is None
        and block._chunk_size is None
        and not block.only_cross_attention
        and block.attn2 is not None
        and _is_plain(block.attn1)
        and _is_plain(block.attn2)
        for block in transformer.transformer_blocks
    )


def _is_plain(attention: Any) -> bool:
    """Scaled dot product only, in evaluation mode: none of the variants that diffusers' class supports."""
    parts = ("spatial_norm", "group_norm", "norm_q", "norm_k", "added_kv_proj_dim")
    return (
        type(attention.processor) is AttnProcessor2_0
        and all(getattr(attention, part, None) is None for part in parts)
        and not attention.norm_cross
        and not attention.residual_connection
        and attention.rescale_output_factor == 1.0
        and not attention.training
    )
