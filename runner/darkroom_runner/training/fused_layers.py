"""Frozen layers of a U-Net as one autograd function each on the CPU: ResNet blocks and feed-forward layers.

Autograd records about twenty operations of a ResNet block, and keeps what the gradients of its weights would need. The
weights are frozen: here a block has one backward pass, only towards its inputs, and no scaling by a factor of 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.attention import FeedForward
from diffusers.models.resnet import ResnetBlock2D
from torch.autograd.function import once_differentiable
from torch.nn import functional

_aten = torch.ops.aten


def fuse_layers(unet: torch.nn.Module) -> int:
    """Let the frozen ResNet blocks and feed-forward layers of a U-Net on the CPU compute as one operation each.

    Returns their number. Blocks with adapters, dropout or other norms and activations stay as they are.
    """
    count = 0
    for layer in unet.modules():
        if isinstance(layer, ResnetBlock2D) and _is_plain_block(layer):
            layer.forward = partial(_resnet, layer, layer.forward)
        elif isinstance(layer, FeedForward) and _is_plain_feed_forward(layer):
            layer.forward = partial(_feed_forward, layer, layer.forward)
        else:
            continue
        count += 1
    return count


def _is_plain_block(block: Any) -> bool:
    convolutions = [block.conv1, block.conv2, *([block.conv_shortcut] if block.conv_shortcut is not None else [])]
    return (
        all(type(each) is torch.nn.Conv2d and each.bias is not None for each in convolutions)
        and type(block.time_emb_proj) is torch.nn.Linear
        and type(block.nonlinearity) is torch.nn.SiLU
        and type(block.norm1) is type(block.norm2) is torch.nn.GroupNorm
        and block.upsample is block.downsample is None
        and (block.time_embedding_norm, block.skip_time_act) == ("default", False)
        and (block.output_scale_factor, block.dropout.p) == (1.0, 0.0)
        and _is_frozen(block)
    )


def _is_plain_feed_forward(layer: Any) -> bool:
    first, *_, last = layer.net
    return (
        len(layer.net) == 3
        and type(first) is GEGLU
        and type(first.proj) is type(last) is torch.nn.Linear
        and first.proj.bias is not None
        and last.bias is not None
        and layer.net[1].p == 0.0
        and _is_frozen(layer)
    )


def _is_frozen(layer: torch.nn.Module) -> bool:
    return all(
        not each.requires_grad and (each.device.type, each.dtype) == ("cpu", torch.float32)
        for each in layer.parameters()
    )


def _resnet(
    block: Any, original: Callable[..., torch.Tensor], x: torch.Tensor, temb: torch.Tensor | None, *others: Any
) -> torch.Tensor:
    """[b, channels, h, w] and time embeddings [b, width] to [b, out channels, h, w]."""
    if temb is None or x.dtype != torch.float32 or others:
        return original(x, temb, *others)
    parts = [block.norm1, block.conv1, block.time_emb_proj, block.norm2, block.conv2]
    parts += [] if block.conv_shortcut is None else [block.conv_shortcut]
    norms = ((block.norm1.num_groups, block.norm1.eps), (block.norm2.num_groups, block.norm2.eps))
    weights = [each for part in parts for each in (part.weight, part.bias)]
    result: torch.Tensor = _FusedResnet.apply(x.contiguous(), temb, norms, *weights)
    return result


def _feed_forward(
    layer: Any, original: Callable[..., torch.Tensor], x: torch.Tensor, *others: Any, **named: Any
) -> torch.Tensor:
    """[b, tokens, width] to the same."""
    if x.dtype != torch.float32 or others or named:
        return original(x, *others, **named)
    first, _, last = layer.net
    result: torch.Tensor = _FusedFeedForward.apply(x, first.proj.weight, first.proj.bias, last.weight, last.bias)
    return result


class _FusedResnet(torch.autograd.Function):
    """Arguments: x, time embeddings, groups and epsilon of both norms, and weight and bias of norm, convolution, time
    projection, norm, convolution, and shortcut if there is one."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, temb: torch.Tensor, norms: Any, *parts: torch.Tensor) -> torch.Tensor:
        norm1, bias1, conv1, conv_bias1, proj, proj_bias, norm2, bias2, conv2, conv_bias2, *shortcut = parts
        normed1, mean1, deviation1 = _norm(x, norm1, bias1, *norms[0])
        h = functional.conv2d(functional.silu(normed1), conv1, conv_bias1, padding=1)
        h += functional.linear(functional.silu(temb), proj, proj_bias)[:, :, None, None]
        normed2, mean2, deviation2 = _norm(h, norm2, bias2, *norms[1])
        result = functional.conv2d(functional.silu(normed2), conv2, conv_bias2, padding=1)
        result += functional.conv2d(x, shortcut[0], shortcut[1]) if shortcut else x
        kept = (x, temb, normed1, mean1, deviation1, h, normed2, mean2, deviation2)
        ctx.save_for_backward(*kept, norm1, conv1, proj, norm2, conv2, *shortcut[:1])
        ctx.groups = (norms[0][0], norms[1][0])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x, temb, normed1, mean1, deviation1, h, normed2, mean2, deviation2, *weights = ctx.saved_tensors
        norm1, conv1, proj, norm2, conv2, *shortcut = weights
        gradient = gradient.contiguous()
        grad = _aten.silu_backward(_convolution_backward(gradient, normed2, conv2), normed2)
        grad = _norm_backward(grad, h, mean2, deviation2, norm2, ctx.groups[1])
        grad_x = grad_temb = None
        if ctx.needs_input_grad[1]:
            grad_temb = _aten.silu_backward(grad.sum((2, 3)) @ proj, temb)
        if ctx.needs_input_grad[0]:
            grad = _aten.silu_backward(_convolution_backward(grad, normed1, conv1), normed1)
            grad_x = _norm_backward(grad, x, mean1, deviation1, norm1, ctx.groups[0])
            grad_x += _convolution_backward(gradient, x, shortcut[0]) if shortcut else gradient
        return grad_x, grad_temb, *(None,) * (len(ctx.needs_input_grad) - 2)


def _norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, groups: int, eps: float) -> Any:
    """Group norm; returns its output, and mean and reciprocal standard deviation of each group."""
    batch, channels, height, width = x.shape
    return torch.native_group_norm(x, weight, bias, batch, channels, height * width, groups, eps)


def _norm_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    mean: torch.Tensor,
    deviation: torch.Tensor,
    weight: torch.Tensor,
    groups: int,
) -> torch.Tensor:
    batch, channels, height, width = x.shape
    result: torch.Tensor = _aten.native_group_norm_backward(
        gradient, x, mean, deviation, weight, batch, channels, height * width, groups, [True, False, False]
    )[0]
    return result


def _convolution_backward(gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Gradient of the input of a convolution that keeps the image's size."""
    padding = weight.shape[-1] // 2
    result: torch.Tensor = _aten.convolution_backward(
        gradient, x, weight, None, [1, 1], [padding, padding], [1, 1], False, [0, 0], 1, [True, False, False]
    )[0]
    return result


class _FusedFeedForward(torch.autograd.Function):
    """Arguments: x [b, n, d], and weight and bias of the gated projection and of the output."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        out_weight: torch.Tensor,
        out_bias: torch.Tensor,
    ) -> torch.Tensor:
        projected = functional.linear(x.reshape(-1, x.shape[-1]), weight, bias)
        hidden, gate = projected.chunk(2, dim=-1)
        activated = functional.gelu(gate)
        ctx.save_for_backward(projected, activated, weight, out_weight)
        return functional.linear(hidden * activated, out_weight, out_bias).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        projected, activated, weight, out_weight = ctx.saved_tensors
        hidden, gate = projected.chunk(2, dim=-1)
        grad = gradient.reshape(-1, gradient.shape[-1]) @ out_weight
        both = torch.empty_like(projected)
        into_hidden, into_gate = both.chunk(2, dim=-1)
        torch.mul(grad, activated, out=into_hidden)
        into_gate.copy_(_aten.gelu_backward(grad.mul_(hidden), gate))
        return (both @ weight).view(*gradient.shape[:-1], -1), None, None, None, None
