"""A CLIP text encoder with LoRA adapters, as far as SDXL uses it: the penultimate hidden states, and the pooled output
of an encoder with projection. Attention and feed-forward layers are one autograd function each.

transformers computes the last layer of the first encoder, too, and collects the hidden states by hooks on each layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from transformers import CLIPTextModel, CLIPTextModelWithProjection
from transformers.activations import GELUActivation, QuickGELUActivation
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPTextModelOutput

from darkroom_runner.training.fused import attention, feed_forward
from darkroom_runner.training.fused.attention import AttentionWeights
from darkroom_runner.training.fused.norms import LayerNorm

_silu_backward = torch.ops.aten.silu_backward.default
_gelu_backward = torch.ops.aten.gelu_backward.default

_QUICK_GELU = 1.702
"""Quick GELU is x sigmoid(1.702 x), which is SiLU(1.702 x) / 1.702."""

_LEGACY_END = 2
"""End-of-text token of old configurations, which is wrong: the token with the highest number is the end."""


def can_fuse(encoder: Any) -> bool:
    """Text encoders as in SDXL, with an adapter without dropout on each attention layer, and in float32 on the CPU."""
    if type(encoder) not in (CLIPTextModel, CLIPTextModelWithProjection):
        return False
    return len(_layers(encoder)) > 1 and all(map(_can_fuse_layer, _layers(encoder)))


def fuse(encoder: Any) -> None:
    """Let the encoder compute with fused layers."""
    layers = [_Layer.of(each) for each in _layers(encoder)]
    encoder.forward = partial(_forward, encoder, layers, encoder.forward)


@dataclass(frozen=True)
class _Layer:
    """What is frozen of a layer, and the projections with its adapters."""

    projections: tuple[Any, ...]
    attention: AttentionWeights
    norm1: LayerNorm
    norm2: LayerNorm
    mlp: "_Mlp"

    @classmethod
    def of(cls, layer: Any) -> "_Layer":
        projections = _projections(layer)
        heads = layer.self_attn.num_heads
        weights = AttentionWeights.of(projections, heads, has_context=False, causal=True)
        return cls(projections, weights, _norm(layer.layer_norm1), _norm(layer.layer_norm2), _Mlp.of(layer.mlp))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, tokens, width] to the same."""
        attended = attention.attend(self.projections, self.attention, self.norm1, x)
        result: torch.Tensor = _FusedMlp.apply(attended, self.norm2, self.mlp)
        return result


@dataclass(frozen=True)
class _Mlp:
    first: torch.Tensor
    first_bias: torch.Tensor
    second: torch.Tensor
    second_bias: torch.Tensor
    quick: bool
    """Whether the activation is quick GELU, or else GELU."""

    @classmethod
    def of(cls, mlp: Any) -> "_Mlp":
        first, second = mlp.fc1, mlp.fc2
        return cls(
            first.weight.detach(),
            first.bias.detach(),
            second.weight.detach(),
            second.bias.detach(),
            quick=type(mlp.activation_fn) is QuickGELUActivation,
        )

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        if self.quick:
            return torch.nn.functional.silu(x * _QUICK_GELU, inplace=True).div_(_QUICK_GELU)
        return torch.nn.functional.gelu(x)

    def activation_backward(self, gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        of_x: torch.Tensor = _silu_backward(gradient, x * _QUICK_GELU) if self.quick else _gelu_backward(gradient, x)
        return of_x


class _FusedMlp(torch.autograd.Function):
    """x + mlp(norm(x)). Arguments: x [b, n, d], its norm, and the layers. Keeps x and the first projection."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, norm: LayerNorm, mlp: _Mlp) -> torch.Tensor:
        normed, *statistics = norm.forward(x)
        projected = torch.addmm(mlp.first_bias, normed.view(-1, x.shape[-1]), mlp.first.T)
        result = torch.addmm(mlp.second_bias, mlp.activate(projected), mlp.second.T)
        ctx.save_for_backward(x, projected, *statistics)
        ctx.norm, ctx.mlp = norm, mlp
        return result.view(x.shape).add_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x, projected, *statistics = ctx.saved_tensors
        mlp = ctx.mlp
        by_activated = gradient.reshape(-1, gradient.shape[-1]) @ mlp.second
        by_projected = mlp.activation_backward(by_activated, projected)
        of_x = ctx.norm.backward((by_projected @ mlp.first).view(x.shape), x, *statistics)
        return of_x.add_(gradient), None, None


def _forward(
    encoder: Any,
    layers: list[_Layer],
    original: Callable[..., Any],
    input_ids: torch.Tensor | None = None,
    **kwargs: Any,
) -> Any:
    """As SDXL's pipeline calls it: with token numbers [b, tokens], for all hidden states. Else `original` computes."""
    active = all(attention.adapters_are_active(each.projections) for each in layers)
    if input_ids is None or kwargs != {"output_hidden_states": True} or not active:
        return original(input_ids, **kwargs)
    text = _text_model(encoder)
    states = [text.embeddings(input_ids)]
    for layer in layers[:-1]:
        states.append(layer.forward(states[-1]))
    if type(encoder) is CLIPTextModel:
        # No data: any use of the last hidden states would be an error.
        unused = torch.empty_like(states[-1], device="meta")
        return BaseModelOutputWithPooling(last_hidden_state=unused, hidden_states=(*states, unused))
    states.append(layers[-1].forward(states[-1]))
    pooled = text.final_layer_norm(states[-1][torch.arange(len(input_ids)), _ends(input_ids, text.eos_token_id)])
    return CLIPTextModelOutput(text_embeds=encoder.text_projection(pooled), hidden_states=tuple(states))


def _ends(input_ids: torch.Tensor, end: int) -> torch.Tensor:
    """The position of each text's first end-of-text token."""
    is_end = input_ids if end == _LEGACY_END else (input_ids == end).int()
    return is_end.argmax(dim=-1)


def _can_fuse_layer(layer: Any) -> bool:
    norms = (layer.layer_norm1, layer.layer_norm2)
    return (
        attention.can_fuse_projections(_projections(layer))
        and layer.self_attn.dropout == 0.0
        and type(layer.mlp.activation_fn) in (GELUActivation, QuickGELUActivation)
        and all(map(feed_forward.is_plain, (layer.mlp.fc1, layer.mlp.fc2)))
        and all(type(each) is torch.nn.LayerNorm and not each.weight.requires_grad for each in norms)
    )


def _text_model(encoder: Any) -> Any:
    """transformers 5 has no `text_model` in a `CLIPTextModel`."""
    return getattr(encoder, "text_model", encoder)


def _layers(encoder: Any) -> list[Any]:
    return list(_text_model(encoder).encoder.layers)


def _projections(layer: Any) -> tuple[Any, ...]:
    """Of queries, keys, values and output."""
    own = layer.self_attn
    return (own.q_proj, own.k_proj, own.v_proj, own.out_proj)


def _norm(norm: torch.nn.LayerNorm) -> LayerNorm:
    return LayerNorm(norm.weight, norm.bias, norm.eps)
