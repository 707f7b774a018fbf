"""A transformer's frozen feed-forward layer (GEGLU), its normalisation and its residual connection as one function.

It keeps its input and the first projection. Autograd would keep half as much again: the gate after GELU.
"""

from typing import Any

import torch
from diffusers.models.activations import GEGLU
from torch.autograd.function import once_differentiable

from darkroom_runner.training.fused.norms import LayerNorm

_gelu_backward = torch.ops.aten.gelu_backward.grad_input


def can_fuse(layer: Any) -> bool:
    """Not layers with dropout or adapters."""
    if len(layer.net) != 3 or type(layer.net[0]) is not GEGLU or layer.net[1].p != 0.0:
        return False
    return all(is_plain(each) for each in (layer.net[0].proj, layer.net[2]))


def feed_forward(layer: Any, norm: LayerNorm, x: torch.Tensor) -> torch.Tensor:
    """x + layer(norm(x)), for x [b, n, d]."""
    first, second = layer.net[0].proj, layer.net[2]
    result: torch.Tensor = _FusedFeedForward.apply(x, norm, first.weight, first.bias, second.weight, second.bias)
    return result


def is_plain(linear: Any) -> bool:
    """A frozen linear layer with bias, in float32 on the CPU."""
    return (
        type(linear) is torch.nn.Linear
        and linear.bias is not None
        and not linear.weight.requires_grad
        and (linear.weight.device.type, linear.weight.dtype) == ("cpu", torch.float32)
    )


class _FusedFeedForward(torch.autograd.Function):
    """Arguments: x, its norm, and weight and bias of the two projections."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        norm: LayerNorm,
        first: torch.Tensor,
        first_bias: torch.Tensor,
        second: torch.Tensor,
        second_bias: torch.Tensor,
    ) -> torch.Tensor:
        normed, *statistics = norm.forward(x)
        projected = torch.addmm(first_bias, normed.view(-1, x.shape[-1]), first.T)
        hidden, gate = projected.chunk(2, dim=1)
        result = torch.addmm(second_bias, torch.nn.functional.gelu(gate).mul_(hidden), second.T)
        ctx.save_for_backward(x, projected, first, second, *statistics)
        ctx.norm = norm
        return result.view(x.shape).add_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x, projected, first, second, *statistics = ctx.saved_tensors
        hidden, gate = projected.chunk(2, dim=1)
        by_product = gradient.reshape(-1, gradient.shape[-1]) @ second
        by_projected = torch.empty_like(projected)
        by_hidden, by_gate = by_projected.chunk(2, dim=1)
        torch.mul(by_product, torch.nn.functional.gelu(gate), out=by_hidden)
        _gelu_backward(by_product.mul_(hidden), gate, grad_input=by_gate)
        of_x = ctx.norm.backward((by_projected @ first).view(x.shape), x, *statistics)
        return (of_x.add_(gradient), *(None,) * 5)
