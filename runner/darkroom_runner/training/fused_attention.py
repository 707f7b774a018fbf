"""Attention layers with LoRA adapters as one autograd function on the CPU: the same mathematics in fewer operations.

diffusers and peft run an attention layer as about 60 operations, of which autograd records each; for small models that
takes longer than the arithmetic. Here a layer is one operation with a backward pass of its own. It keeps its inputs,
queries, keys, values and their products with `lora_A`, and no more.

With adapters W' = W + s B A (Hu et al., arXiv 2106.09685), and s = alpha / rank.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from peft.tuners.lora import Linear as AdaptedLinear
from torch.autograd.function import once_differentiable

from darkroom_runner.lora.adapters import ADAPTER

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
"""What `scaled_dot_product_attention` calls on the CPU; checked against it in tests."""

Tensors = tuple[torch.Tensor, ...]


def fuse_attention(unet: torch.nn.Module) -> int:
    """Let the adapted attention layers of a U-Net on the CPU compute as one operation; returns their number.

    Layers with dropout, DoRA, norms or masks of their own stay as they are.
    """
    layers = [each for each in unet.modules() if isinstance(each, Attention) and _can_fuse(each)]
    for layer in layers:
        layer.forward = partial(_forward, layer, layer.forward)
    return len(layers)


def _can_fuse(layer: Any) -> bool:
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


def _forward(
    layer: Any,
    original: Callable[..., torch.Tensor],
    hidden_states: torch.Tensor,
    encoder_hidden_states: torch.Tensor | None = None,
    attention_mask: torch.Tensor | None = None,
    **others: Any,
) -> torch.Tensor:
    """[b, tokens, width] to the same. `original` computes what the fused operation can't."""
    projections = _projections(layer)
    if (
        attention_mask is not None
        or hidden_states.ndim != 3
        or hidden_states.dtype != torch.float32
        or any(each.disable_adapters or each.merged or each.active_adapters != [ADAPTER] for each in projections)
    ):
        return original(hidden_states, encoder_hidden_states, attention_mask, **others)
    weights = [each.base_layer.weight for each in projections]
    adapters = [part[ADAPTER].weight for each in projections for part in (each.lora_A, each.lora_B)]
    scale = projections[0].scaling[ADAPTER]
    result: torch.Tensor = _FusedAttention.apply(
        hidden_states, encoder_hidden_states, layer.heads, scale, projections[3].base_layer.bias, *weights, *adapters
    )
    return result


class _FusedAttention(torch.autograd.Function):
    """Arguments: x [b, n, d], context [b, m, c] or None for x itself, heads, s, the output's bias, the weights of
    queries, keys, values and output, and A and B of each."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        context: torch.Tensor | None,
        heads: int,
        scale: float,
        bias: torch.Tensor,
        *parts: torch.Tensor,
    ) -> torch.Tensor:
        weights, a, b = parts[:4], parts[4::2], parts[5::2]
        rows = x.reshape(-1, x.shape[-1])
        sources = (rows, rows, rows) if context is None else (rows, *2 * (context.reshape(-1, context.shape[-1]),))
        inner = [source @ a[i].T for i, source in enumerate(sources)]
        projected = [(source @ weights[i].T).addmm_(inner[i], b[i].T, alpha=scale) for i, source in enumerate(sources)]
        query, key, value = (_split_heads(each, len(x), heads) for each in projected)
        attended, sums = _flash(query, key, value)
        joined = _join_heads(attended)
        inner.append(joined @ a[3].T)
        result = torch.addmm(bias, joined, weights[3].T).addmm_(inner[3], b[3].T, alpha=scale)
        ctx.save_for_backward(rows, sources[1], query, key, value, attended, sums, *inner, *parts)
        ctx.scale, ctx.heads, ctx.shapes = scale, heads, (x.shape, None if context is None else context.shape)
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        rows, source, query, key, value, attended, sums, *others = ctx.saved_tensors
        inner, weights, a, b = others[:4], others[4:8], others[8::2], others[9::2]
        x_shape, context_shape = ctx.shapes
        wants_x, wants_context = ctx.needs_input_grad[:2]
        grads: list[torch.Tensor | None] = [None] * 8

        def through(i: int, g: torch.Tensor, given: torch.Tensor, into: torch.Tensor | None) -> torch.Tensor:
            """Back through projection i; the gradient of its input is added to `into`."""
            small = (g @ b[i]).mul_(ctx.scale)
            grads[2 * i], grads[2 * i + 1] = small.T @ given, (g.T @ inner[i]).mul_(ctx.scale)
            into = g @ weights[i] if into is None else into.addmm_(g, weights[i])
            return into.addmm_(small, a[i])

        g = gradient.reshape(-1, gradient.shape[-1])
        g = through(3, g, _join_heads(attended), None)
        split = _split_heads(g, len(query), ctx.heads)
        by_part = _flash_backward(split, query, key, value, attended, sums, 0.0, False)
        by_query, by_key, by_value = (_join_heads(each) for each in by_part)
        grad_x = through(0, by_query, rows, None)
        if context_shape is None:
            grad_x = through(2, by_value, rows, through(1, by_key, rows, grad_x))
            grad_context = None
        else:
            grad_context = through(2, by_value, source, through(1, by_key, source, None)).view(context_shape)
        return (
            grad_x.view(x_shape) if wants_x else None,
            grad_context if wants_context else None,
            *(None,) * 7,
            *grads,
        )


def _split_heads(rows: torch.Tensor, batch: int, heads: int) -> torch.Tensor:
    """[b n, d] to [b, heads, n, d / heads]"""
    return rows.view(batch, -1, heads, rows.shape[-1] // heads).transpose(1, 2)


def _join_heads(split: torch.Tensor) -> torch.Tensor:
    """[b, heads, n, e] to [b n, heads e]"""
    return split.transpose(1, 2).reshape(-1, split.shape[1] * split.shape[3])
