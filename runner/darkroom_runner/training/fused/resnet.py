"""A frozen residual block of a U-Net as one autograd function.

It keeps the inputs of its two normalisations. Autograd would keep six tensors of that size.
"""

from functools import partial
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input

from darkroom_runner.training.fused.norms import GroupNormSilu


def can_fuse(block: Any) -> bool:
    """Blocks as in SDXL: without adapters, dropout, resampling, or scale and shift by the timestep."""
    convolutions = [block.conv1, block.conv2] + ([] if block.conv_shortcut is None else [block.conv_shortcut])
    return (
        all(_is_plain(each) for each in convolutions)
        and all(type(each) is torch.nn.GroupNorm and each.affine for each in (block.norm1, block.norm2))
        and isinstance(block.nonlinearity, torch.nn.SiLU)
        and block.upsample is None
        and block.downsample is None
        and block.time_emb_proj is not None
        and block.time_embedding_norm == "default"
        and not block.skip_time_act
        and block.dropout.p == 0.0
        and block.output_scale_factor == 1.0
    )


def fuse(block: Any) -> None:
    """Let the block compute as one function."""
    block.forward = partial(_forward, block)


def _is_plain(convolution: Any) -> bool:
    return (
        type(convolution) is torch.nn.Conv2d
        and convolution.bias is not None
        and not convolution.weight.requires_grad
        and (convolution.weight.device.type, convolution.weight.dtype) == ("cpu", torch.float32)
        and convolution.padding_mode == "zeros"
        and (convolution.stride, convolution.dilation, convolution.groups) == ((1, 1), (1, 1), 1)
    )


def _forward(block: Any, x: torch.Tensor, temb: torch.Tensor) -> torch.Tensor:
    """[b, c, h, w] and the timestep's embedding [b, t] to [b, c', h, w]."""
    time = block.time_emb_proj(block.nonlinearity(temb))
    result: torch.Tensor = _FusedResnet.apply(x, time, block)
    return result


class _FusedResnet(torch.autograd.Function):
    """Arguments: x, the projected embedding of the timestep [b, c'], and the block with the frozen weights."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, time: torch.Tensor, block: Any) -> torch.Tensor:
        x = x.contiguous()
        first = _convolve(_norm(block.norm1).forward(x), block.conv1).add_(time[:, :, None, None])
        result = _convolve(_norm(block.norm2).forward(first), block.conv2)
        ctx.save_for_backward(x, first)
        ctx.block = block
        return result.add_(x if block.conv_shortcut is None else _convolve(x, block.conv_shortcut))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x, first = ctx.saved_tensors
        block, (wants_x, wants_time, _) = ctx.block, ctx.needs_input_grad
        by_first = _norm(block.norm2).backward(_input_gradient(first.shape, block.conv2, gradient), first)
        of_time = by_first.sum(dim=(2, 3)) if wants_time else None
        if not wants_x:
            return None, of_time, None
        of_x = _norm(block.norm1).backward(_input_gradient(x.shape, block.conv1, by_first), x)
        shortcut = block.conv_shortcut
        of_x += gradient if shortcut is None else _input_gradient(x.shape, shortcut, gradient)
        return of_x, of_time, None


def _norm(norm: torch.nn.GroupNorm) -> GroupNormSilu:
    return GroupNormSilu(norm.weight, norm.bias, norm.num_groups, norm.eps)


def _convolve(x: torch.Tensor, layer: torch.nn.Conv2d) -> torch.Tensor:
    return conv2d(x, layer.weight, layer.bias, padding=layer.padding)


def _input_gradient(shape: torch.Size, layer: torch.nn.Conv2d, gradient: torch.Tensor) -> torch.Tensor:
    of_input: torch.Tensor = conv2d_input(shape, layer.weight, gradient, padding=layer.padding)
    return of_input
