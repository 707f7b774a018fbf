"""Which parts of a U-Net are fused: attention and feed-forward layers of its transformers, and its residual blocks.

Called by `session` before the first step. What can't be fused computes as before, and so does a call with arguments
that the fused functions do not know.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D

from darkroom_runner.training.fused import attention, feed_forward, resnet
from darkroom_runner.training.fused.norms import LayerNorm

ATTENTION, FEED_FORWARD, RESNET = "attention", "feed-forward", "resnet"


def fuse_layers(unet: torch.nn.Module) -> Counter[str]:
    """Fuse what can be fused of a U-Net on the CPU; returns the number of fused parts by kind."""
    fused: Counter[str] = Counter()
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D) and resnet.can_fuse(module):
            resnet.fuse(module)
            fused[RESNET] += 1
        elif isinstance(module, BasicTransformerBlock) and _is_plain(module):
            parts = _Parts.of(module)
            module.forward = partial(_forward, module, parts, module.forward)
            fused += parts.counts()
    return fused


@dataclass(frozen=True)
class _Parts:
    """Which parts of a transformer block are fused."""

    self_attention: bool
    cross_attention: bool
    feed_forward: bool

    @classmethod
    def of(cls, block: Any) -> "_Parts":
        return cls(attention.can_fuse(block.attn1), attention.can_fuse(block.attn2), feed_forward.can_fuse(block.ff))

    def counts(self) -> Counter[str]:
        return Counter({ATTENTION: self.self_attention + self.cross_attention, FEED_FORWARD: int(self.feed_forward)})


def _is_plain(block: Any) -> bool:
    """As in SDXL: self-attention, cross-attention, feed-forward layer, each after a layer norm with frozen weights."""
    norms = (block.norm1, block.norm2, block.norm3)
    return (
        block.norm_type == "layer_norm"
        and not block.only_cross_attention
        and block.pos_embed is None
        and block.attn2 is not None
        and not hasattr(block, "fuser")
        and block._chunk_size is None
        and all(type(each) is torch.nn.LayerNorm and each.bias is not None for each in norms)
        and (block.norm1.weight.device.type, block.norm1.weight.dtype) == ("cpu", torch.float32)
    )


def _forward(
    block: Any,
    parts: _Parts,
    original: Callable[..., torch.Tensor],
    x: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    encoder_hidden_states: torch.Tensor | None = None,
    encoder_attention_mask: torch.Tensor | None = None,
    timestep: torch.Tensor | None = None,
    cross_attention_kwargs: dict[str, Any] | None = None,
    class_labels: torch.Tensor | None = None,
) -> torch.Tensor:
    """[b, tokens, width] to the same. `original` is the module's own method."""
    special = attention_mask is not None or encoder_attention_mask is not None or cross_attention_kwargs
    if special or x.dtype != torch.float32 or encoder_hidden_states is None:
        return original(
            x,
            attention_mask,
            encoder_hidden_states,
            encoder_attention_mask,
            timestep,
            cross_attention_kwargs,
            class_labels,
        )
    x = _attend(block.attn1, block.norm1, x, None, parts.self_attention)
    x = _attend(block.attn2, block.norm2, x, encoder_hidden_states, parts.cross_attention)
    if parts.feed_forward:
        return feed_forward.feed_forward(block.ff, _norm(block.norm3), x)
    return x + block.ff(block.norm3(x))  # type: ignore[no-any-return]


def _attend(layer: Any, norm: Any, x: torch.Tensor, context: torch.Tensor | None, fused: bool) -> torch.Tensor:
    if fused and attention.adapters_are_active(layer):
        return attention.attend(layer, _norm(norm), x, context)
    return x + layer(norm(x), context)  # type: ignore[no-any-return]


def _norm(norm: torch.nn.LayerNorm) -> LayerNorm:
    return LayerNorm(norm.weight, norm.bias, norm.eps)
