"""An attention layer with LoRA adapters, its normalisation and its residual connection as one autograd function.

Of a U-Net, or of a CLIP text encoder: there with biases, and causal. It keeps its input, queries, keys, values, the
attended values and, of narrow layers, W' or, of wide ones, their products with `lora_A`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import Linear as AdaptedLinear
from torch.autograd.function import once_differentiable

from darkroom_runner.lora.adapters import ADAPTER
from darkroom_runner.training.fused.norms import LayerNorm
from darkroom_runner.training.fused.projections import Projections, Weights

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default
"""What `scaled_dot_product_attention` calls on the CPU; checked against it in tests."""


def can_fuse(layer: Any) -> bool:
    """Attention of a U-Net. Not layers with norms or masks of their own, or what `can_fuse_projections` refuses."""
    given = projections(layer)
    special = (
        layer.spatial_norm,
        layer.group_norm,
        layer.norm_q,
        layer.norm_k,
        layer.norm_cross,
        layer.added_kv_proj_dim,
    )
    return (
        can_fuse_projections(given)
        and not any(special)
        and not layer.residual_connection
        and layer.rescale_output_factor == 1.0
        and layer.to_out[1].p == 0.0
    )


def can_fuse_projections(given: Sequence[Any]) -> bool:
    """Those of queries, keys, values and output. Not with dropout, DoRA, or adapters of several ranks."""
    return (
        all(isinstance(each, AdaptedLinear) and _is_plain(each) for each in given)
        and len({(each.r[ADAPTER], each.scaling[ADAPTER]) for each in given}) == 1
        and len({each.base_layer.bias is None for each in given[:3]}) == 1
        and given[3].base_layer.bias is not None
    )


def adapters_are_active(given: Sequence[Any]) -> bool:
    """Whether the projections compute with their adapters now, as the fused function does."""
    return not any(each.disable_adapters or each.merged or each.active_adapters != [ADAPTER] for each in given)


def projections(layer: Any) -> tuple[Any, ...]:
    """Of queries, keys, values and output, of a U-Net's layer."""
    return (layer.to_q, layer.to_k, layer.to_v, layer.to_out[0])


@dataclass(frozen=True)
class AttentionWeights:
    """What is frozen of a layer."""

    sources: tuple[Weights, ...]
    """By input: of queries, keys and values; in cross-attention of queries, and of keys and values."""
    output: Weights
    heads: int
    causal: bool = False
    """Whether a token attends only to itself and those before it."""

    @classmethod
    def of(cls, given: Sequence[Any], heads: int, has_context: bool, causal: bool = False) -> "AttentionWeights":
        by_input = (given[:1], given[1:3]) if has_context else (given[:3],)
        return cls(tuple(map(_frozen, by_input)), _frozen(given[3:]), heads, causal)

    def projections(self, adapters: Sequence[torch.Tensor], scale: float) -> tuple[list[Projections], Projections]:
        """Those of each input, and of the attended values. `adapters` has A and B of each layer in turn."""
        groups, first = [], 0
        for weights in (*self.sources, self.output):
            end = first + 2 * len(weights.each)
            groups.append(
                Projections(weights, tuple(adapters[first:end:2]), tuple(adapters[first + 1 : end : 2]), scale)
            )
            first = end
        return groups[:-1], groups[-1]


def attend(
    given: Sequence[Any],
    weights: AttentionWeights,
    norm: LayerNorm,
    x: torch.Tensor,
    context: torch.Tensor | None = None,
    index: torch.Tensor | None = None,
) -> torch.Tensor:
    """x + attention(norm(x)) for x [b, n, d] and `given` projections. Cross-attention: to a context [b, m, c].

    With `index` [b], `context` has the distinct contexts; keys and values are computed once of each.
    """
    adapters = [part[ADAPTER].weight for each in given for part in (each.lora_A, each.lora_B)]
    scale = given[0].scaling[ADAPTER]
    result: torch.Tensor = _FusedAttention.apply(x, context, index, norm, weights, scale, *adapters)
    return result


def _is_plain(layer: Any) -> bool:
    weight = layer.base_layer.weight
    return (
        type(layer.base_layer) is torch.nn.Linear
        and (weight.device.type, weight.dtype) == ("cpu", torch.float32)
        and isinstance(layer.lora_dropout[ADAPTER], torch.nn.Identity)
        and not layer.use_dora.get(ADAPTER, False)
        and layer.lora_A[ADAPTER].bias is None
        and layer.lora_B[ADAPTER].bias is None
    )


def _frozen(given: Sequence[Any]) -> Weights:
    layers = [each.base_layer for each in given]
    biases = tuple(each.bias.detach() for each in layers if each.bias is not None)
    return Weights(tuple(each.weight.detach() for each in layers), biases or None)


class _FusedAttention(torch.autograd.Function):
    """Arguments: x, context and index or None, the norm of x, the frozen weights, s, and A and B of queries, keys,
    values and output in turn."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        context: torch.Tensor | None,
        index: torch.Tensor | None,
        norm: LayerNorm,
        weights: AttentionWeights,
        scale: float,
        *adapters: torch.Tensor,
    ) -> torch.Tensor:
        sources, output = weights.projections(adapters, scale)
        rows = _rows(norm.forward(x)[0], context)
        done = [group.forward(each) for group, each in zip(sources, rows, strict=True)]
        query, *by_context = [each for outputs, _ in done for each in outputs]
        query = _split_heads(query, len(x), weights.heads)
        contexts = len(x if context is None else context)
        key, value = (_split_heads(each, contexts, weights.heads) for each in by_context)
        if index is not None:
            key, value = key[index], value[index]
        attended, sums = _flash(query, key, value, 0.0, weights.causal)
        [result], of_joined = output.forward(_join_heads(attended))
        inner = [each for _, each in done]
        ctx.save_for_backward(x, context, index, query, key, value, attended, sums, *inner, of_joined)
        ctx.norm, ctx.heads, ctx.causal, ctx.projections = norm, weights.heads, weights.causal, (sources, output)
        return result.view(x.shape).add_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x, context, index, query, key, value, attended, sums, *inner, of_joined = ctx.saved_tensors
        sources, output = ctx.projections
        by_result = gradient.reshape(-1, gradient.shape[-1])
        joined, of_output = output.backward([by_result], _join_heads(attended), of_joined)
        split = _split_heads(joined, len(x), ctx.heads)
        by_query, *by_context = _flash_backward(split, query, key, value, attended, sums, 0.0, ctx.causal)
        if index is not None:
            by_context = [_sum_by(index, each, len(context)) for each in by_context]
        gradients, of_inputs, of_adapters = [_join_heads(each) for each in (by_query, *by_context)], [], []
        normed, *statistics = ctx.norm.forward(x)
        for group, rows, products in zip(sources, _rows(normed, context), inner, strict=True):
            size = len(group.a)
            of_input, adapters = group.backward(gradients[:size], rows, products)
            gradients = gradients[size:]
            of_inputs.append(of_input)
            of_adapters += adapters
        wants_x, wants_context = ctx.needs_input_grad[:2]
        return (
            ctx.norm.backward(of_inputs[0].view(x.shape), x, *statistics).add_(gradient) if wants_x else None,
            of_inputs[1].view(context.shape) if wants_context else None,
            *(None,) * 4,
            *of_adapters,
            *of_output,
        )


def _rows(normed: torch.Tensor, context: torch.Tensor | None) -> list[torch.Tensor]:
    """The rows that each group of projections takes."""
    given = [normed] if context is None else [normed, context]
    return [each.reshape(-1, each.shape[-1]) for each in given]


def _sum_by(index: torch.Tensor, gradient: torch.Tensor, count: int) -> torch.Tensor:
    """The sums of the gradients of each of `count` contexts. As a product: `index_add_` is slower."""
    owners = (index == torch.arange(count, device=index.device)[:, None]).to(gradient.dtype)
    return (owners @ gradient.reshape(len(gradient), -1)).view(count, *gradient.shape[1:])


def _split_heads(rows: torch.Tensor, batch: int, heads: int) -> torch.Tensor:
    """[b n, d] to [b, heads, n, d / heads]"""
    return rows.view(batch, len(rows) // batch, heads, -1).transpose(1, 2)


def _join_heads(split: torch.Tensor) -> torch.Tensor:
    """[b, heads, n, e] to [b n, heads e]"""
    return split.transpose(1, 2).reshape(-1, split.shape[1] * split.shape[3])
