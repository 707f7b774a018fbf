"""A frozen residual block of a U-Net as one autograd function.

It keeps the inputs of its two normalisations. Autograd would keep six tensors of that size.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from darkroom_runner.training.fused import convolutions
from darkroom_runner.training.fused.convolutions import Convolution
from darkroom_runner.training.fused.norms import GroupNormSilu


def can_fuse(block: Any) -> bool:
    """Blocks as in SDXL: without adapters, dropout, resampling, or scale and shift by the timestep."""
    return (
        all(map(convolutions.can_fuse, _convolutions(block)))
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
    block.forward = partial(_forward, block, _Layers.of(block))


@dataclass(frozen=True)
class _Layers:
    """The frozen layers of a block."""

    norm1: GroupNormSilu
    conv1: Convolution
    norm2: GroupNormSilu
    conv2: Convolution
    shortcut: Convolution | None

    memory_format: torch.memory_format

    @classmethod
    def of(cls, block: Any) -> "_Layers":
        layers = _convolutions(block)
        memory_format = convolutions.fastest_format(*layers)
        first, second, *shortcut = (Convolution.of(each, memory_format) for each in layers)
        return cls(
            _norm(block.norm1), first, _norm(block.norm2), second, shortcut[0] if shortcut else None, memory_format
        )


def _forward(block: Any, layers: _Layers, x: torch.Tensor, temb: torch.Tensor) -> torch.Tensor:
    """[b, c, h, w] and the timestep's embedding [b, t] to [b, c', h, w]."""
    time = block.time_emb_proj(block.nonlinearity(temb))
    result: torch.Tensor = _FusedResnet.apply(x, time, layers)
    return result


class _FusedResnet(torch.autograd.Function):
    """Arguments: x, the projected embedding of the timestep [b, c'], and the layers."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, time: torch.Tensor, layers: _Layers) -> torch.Tensor:
        x = x.contiguous(memory_format=layers.memory_format)
        first = layers.conv1.forward(layers.norm1.forward(x)).add_(time[:, :, None, None])
        result = layers.conv2.forward(layers.norm2.forward(first))
        ctx.save_for_backward(x, first)
        ctx.layers = layers
        return result.add_(x if layers.shortcut is None else layers.shortcut.forward(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x, first = ctx.saved_tensors
        layers, (wants_x, wants_time, _) = ctx.layers, ctx.needs_input_grad
        gradient = gradient.contiguous(memory_format=layers.memory_format)
        by_first = layers.norm2.backward(layers.conv2.input_gradient(first.shape, gradient), first)
        of_time = by_first.sum(dim=(2, 3)) if wants_time else None
        if not wants_x:
            return None, of_time, None
        of_x = layers.norm1.backward(layers.conv1.input_gradient(x.shape, by_first), x)
        of_x += gradient if layers.shortcut is None else layers.shortcut.input_gradient(x.shape, gradient)
        return of_x, of_time, None


def _convolutions(block: Any) -> list[torch.nn.Conv2d]:
    return [block.conv1, block.conv2, *([] if block.conv_shortcut is None else [block.conv_shortcut])]


def _norm(norm: torch.nn.GroupNorm) -> GroupNormSilu:
    return GroupNormSilu(norm.weight, norm.bias, norm.num_groups, norm.eps)
