"""Which parts of a U-Net are fused: attention and feed-forward layers of its transformers, its residual blocks, and the
convolutions after upsampling. And its text encoders, if they are trained.

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
from diffusers.models.upsampling import Upsample2D

from darkroom_runner.training.fused import attention, convolutions, feed_forward, resnet, text_encoder, transformer
from darkroom_runner.training.fused.attention import AttentionWeights
from darkroom_runner.training.fused.convolutions import Convolution, FrozenConvolution
from darkroom_runner.training.fused.norms import LayerNorm

ATTENTION, FEED_FORWARD, RESNET, CONVOLUTION = "attention", "feed-forward", "resnet", "convolution"
TEXT_ENCODER = "text encoder"


TEXT_INDEX = "text_index"
"""Entry of `cross_attention_kwargs`: which of the given texts each sample has, [b]."""


@dataclass(frozen=True)
class Fused:
    """What is fused of a U-Net and its text encoders."""

    counts: Counter[str]
    """Number of parts by kind."""
    takes_text_index: bool
    """Whether `encoder_hidden_states` may be the batch's distinct texts, with a `TEXT_INDEX`."""
    replaced: tuple[tuple[torch.nn.Module, str], ...] = ()
    """Modules, and the method that each has instead of its class's."""

    def undo(self) -> None:
        """Let the modules compute as diffusers' own again, to the last bit."""
        for module, method in self.replaced:
            delattr(module, method)


def fuse_layers(unet: torch.nn.Module, *text_encoders: torch.nn.Module) -> Fused:
    """Fuse what can be fused of a U-Net and of trained text encoders on the CPU."""
    fused: Counter[str] = Counter()
    replaced: list[tuple[torch.nn.Module, str]] = []
    blocks = [each for each in unet.modules() if isinstance(each, BasicTransformerBlock)]
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D) and resnet.can_fuse(module):
            resnet.fuse(module)
            fused[RESNET] += 1
            replaced.append((module, "forward"))
        elif isinstance(module, BasicTransformerBlock) and _is_plain(module):
            parts = _Parts.of(module)
            module.forward = partial(_forward, module, parts, module.forward)
            fused += parts.counts()
            replaced.append((module, "forward"))
        elif isinstance(module, Upsample2D) and module.conv is not None and convolutions.can_fuse(module.conv):
            memory_format = convolutions.fastest_format(module.conv)
            module.conv.forward = partial(_convolve, Convolution.of(module.conv, memory_format))
            fused[CONVOLUTION] += 1
            replaced.append((module.conv, "forward"))
        elif transformer.can_fuse(module):
            transformer.fuse(module)
            replaced.append((module, transformer.OUTPUT))
    for encoder in filter(text_encoder.can_fuse, text_encoders):
        text_encoder.fuse(encoder)
        fused[TEXT_ENCODER] += 1
        replaced.append((encoder, "forward"))
    return Fused(fused, all(_is_plain(each) for each in blocks), tuple(replaced))


@dataclass(frozen=True)
class _Parts:
    """Which parts of a transformer block are fused: attention with its frozen weights."""

    self_attention: AttentionWeights | None
    cross_attention: AttentionWeights | None
    feed_forward: bool

    @classmethod
    def of(cls, block: Any) -> "_Parts":
        self_attention, cross_attention = (
            AttentionWeights.of(attention.projections(layer), layer.heads, has_context)
            if attention.can_fuse(layer)
            else None
            for layer, has_context in ((block.attn1, False), (block.attn2, True))
        )
        return cls(self_attention, cross_attention, feed_forward.can_fuse(block.ff))

    def counts(self) -> Counter[str]:
        fused = sum(each is not None for each in (self.self_attention, self.cross_attention))
        return Counter({ATTENTION: fused, FEED_FORWARD: int(self.feed_forward)})


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
    kwargs = dict(cross_attention_kwargs or {})
    index = kwargs.pop(TEXT_INDEX, None)
    special = attention_mask is not None or encoder_attention_mask is not None or kwargs
    if special or x.dtype != torch.float32 or encoder_hidden_states is None:
        return original(
            x,
            attention_mask,
            encoder_hidden_states if index is None or encoder_hidden_states is None else encoder_hidden_states[index],
            encoder_attention_mask,
            timestep,
            kwargs,
            class_labels,
        )
    x = _attend(block.attn1, block.norm1, x, None, None, parts.self_attention)
    x = _attend(block.attn2, block.norm2, x, encoder_hidden_states, index, parts.cross_attention)
    if parts.feed_forward:
        return feed_forward.feed_forward(block.ff, _norm(block.norm3), x)
    return x + block.ff(block.norm3(x))


def _attend(
    layer: Any,
    norm: Any,
    x: torch.Tensor,
    context: torch.Tensor | None,
    index: torch.Tensor | None,
    weights: AttentionWeights | None,
) -> torch.Tensor:
    if weights is not None and attention.adapters_are_active(projections := attention.projections(layer)):
        return attention.attend(projections, weights, _norm(norm), x, context, index)
    each_context = context if context is None or index is None else context[index]
    return x + layer(norm(x), each_context)


def _convolve(convolution: Convolution, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = FrozenConvolution.apply(x, convolution)
    return result


def _norm(norm: torch.nn.LayerNorm) -> LayerNorm:
    return LayerNorm(norm.weight, norm.bias, norm.eps)
