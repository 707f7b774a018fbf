"""An attention layer with LoRA adapters, its normalisation and its residual connection as one autograd function.

It keeps its input, queries, keys, values, the attended values and their products with `lora_A`, and no more.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear as AdaptedLinear
from torch.autograd.function import once_differentiable

from darkroom_runner.lora.adapters import ADAPTER
from darkroom_runner.training.fused.norms import LayerNorm
from darkroom_runner.training.fused.projections import Projections

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
"""What `scaled_dot_product_attention` calls on the CPU; checked against it in tests."""


def can_fuse(layer: Any) -> bool:
    """Not layers with dropout, DoRA, norms or masks of their own."""
    projections = _projections(layer)
    special = (
        layer.spatial_norm,
        layer.group_norm,
        layer.norm_q,
        layer.norm_k,
        layer.norm_cross,
        layer.added_kv_proj_dim,
    )
    return (
        all(isinstance(each, AdaptedLinear) and _is_plain(each) for each in projections)
        and all(each.base_layer.bias is None for each in projections[:3])
        and projections[3].base_layer.bias is not None
        and not any(special)
        and not layer.residual_connection
        and layer.rescale_output_factor == 1.0
        and layer.to_out[1].p == 0.0
    )


def adapters_are_active(layer: Any) -> bool:
    """Whether the layer computes with its adapters now, as the fused function does."""
    return not any(
        each.disable_adapters or each.merged or each.active_adapters != [ADAPTER] for each in _projections(layer)
    )


def attend(layer: Any, norm: LayerNorm, x: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
    """x + attention(norm(x)), for x [b, n, d] and a context [b, m, c]; None for self-attention."""
    projections = _projections(layer)
    weights = [each.base_layer.weight for each in projections]
    adapters = [part[ADAPTER].weight for each in projections for part in (each.lora_A, each.lora_B)]
    scale, bias = projections[0].scaling[ADAPTER], projections[3].base_layer.bias
    result: torch.Tensor = _FusedAttention.apply(x, context, norm, layer.heads, scale, bias, *weights, *adapters)
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


def _projections(layer: Any) -> tuple[Any, ...]:
    return (layer.to_q, layer.to_k, layer.to_v, layer.to_out[0])


class _FusedAttention(torch.autograd.Function):
    """Arguments: x, context or None, the norm of x, heads, s, the output's bias, the weights of queries, keys, values
    and output, and A and B of each."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        context: torch.Tensor | None,
        norm: LayerNorm,
        heads: int,
        scale: float,
        bias: torch.Tensor,
        *parts: torch.Tensor,
    ) -> torch.Tensor:
        sources, output = _groups(parts, scale, context is not None)
        inputs = [norm.forward(x).view(-1, x.shape[-1])]
        if context is not None:
            inputs.append(context.reshape(-1, context.shape[-1]))
        done = [group.forward(rows) for group, rows in zip(sources, inputs, strict=True)]
        query, key, value = (_split_heads(each, len(x), heads) for outputs, _ in done for each in outputs)
        attended, sums = _flash(query, key, value)
        [result], kept = output.forward(_join_heads(attended))
        kept += [each for _, of_group in done for each in of_group]
        ctx.save_for_backward(x, context, query, key, value, attended, sums, *parts, *kept)
        ctx.norm, ctx.heads, ctx.scale = norm, heads, scale
        return result.add_(bias).view(x.shape).add_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x, context, query, key, value, attended, sums, *others = ctx.saved_tensors
        sources, output = _groups(others[:12], ctx.scale, context is not None)
        kept = others[12:]
        inputs = [ctx.norm.forward(x).view(-1, x.shape[-1])]
        if context is not None:
            inputs.append(context.reshape(-1, context.shape[-1]))
        rows = gradient.reshape(-1, gradient.shape[-1])
        joined, of_output = output.backward([rows], _join_heads(attended), kept[:1])
        split = _split_heads(joined, len(query), ctx.heads)
        by_part = _flash_backward(split, query, key, value, attended, sums, 0.0, False)
        gradients, kept = [_join_heads(each) for each in by_part], kept[1:]
        of_inputs, of_adapters = [], []
        for group, given in zip(sources, inputs, strict=True):
            size, saved = len(group.weights), 1 if group.merged else len(group.weights)
            of_input, adapters = group.backward(gradients[:size], given, kept[:saved])
            gradients, kept = gradients[size:], kept[saved:]
            of_inputs.append(of_input)
            of_adapters += adapters
        wants_x, wants_context = ctx.needs_input_grad[:2]
        return (
            ctx.norm.backward(of_inputs[0].view(x.shape), x).add_(gradient) if wants_x else None,
            of_inputs[1].view(context.shape) if wants_context else None,
            *(None,) * 8,
            *of_adapters,
            *of_output,
        )


def _groups(parts: Any, scale: float, has_context: bool) -> tuple[list[Projections], Projections]:
    """The projections by their input: x and the context, or x alone; and of the attended values."""
    weights, a, b = parts[:4], parts[4::2], parts[5::2]

    def group(first: int, end: int) -> Projections:
        return Projections(tuple(weights[first:end]), tuple(a[first:end]), tuple(b[first:end]), scale)

    return [group(0, 1), group(1, 3)] if has_context else [group(0, 3)], group(3, 4)


def _split_heads(rows: torch.Tensor, batch: int, heads: int) -> torch.Tensor:
    """[b n, d] to [b, heads, n, d / heads]"""
    return rows.unflatten(0, (batch, -1)).unflatten(2, (heads, -1)).transpose(1, 2)


def _join_heads(split: torch.Tensor) -> torch.Tensor:
    """[b, heads, n, e] to [b n, heads e]"""
    return split.transpose(1, 2).reshape(-1, split.shape[1] * split.shape[3])
