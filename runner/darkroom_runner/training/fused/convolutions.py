"""Frozen convolutions of stride 1, both passes, outside of autograd.

oneDNN computes with weights in a layout of its own, into which torch would copy them at every call: on small images
that takes as long as the arithmetic. The gradient of the input is the convolution of the output's gradient with the
mirrored weights. A 1x1 convolution is a matrix product. Both are fastest with the channels last in memory.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input

_PACKED_BYTES = 2 * 2**20
"""Larger weights are not kept twice: their copying is a small part of the arithmetic."""

_mkldnn = torch.ops.mkldnn


def can_fuse(layer: Any) -> bool:
    """Not with other strides, dilation, groups or adapters."""
    return (
        type(layer) is torch.nn.Conv2d
        and layer.bias is not None
        and not layer.weight.requires_grad
        and (layer.weight.device.type, layer.weight.dtype) == ("cpu", torch.float32)
        and layer.padding_mode == "zeros"
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
        and layer.kernel_size in ((1, 1), (3, 3))
        and layer.padding == (layer.kernel_size[0] // 2,) * 2
    )


def fastest_format(*layers: torch.nn.Conv2d) -> torch.memory_format:
    """For convolutions one after the other: oneDNN's, if the weights of each are small enough to be packed."""
    small = all(each.weight.nbytes <= _PACKED_BYTES for each in layers) and torch.backends.mkldnn.is_available()
    return torch.channels_last if small else torch.contiguous_format


@dataclass
class Convolution:
    """[b, c, h, w] to [b, c', h, w], both in the convolution's memory format."""

    weight: torch.Tensor
    bias: torch.Tensor
    memory_format: torch.memory_format
    _packed: list[torch.Tensor] = field(default_factory=list)
    """The weights of both passes in oneDNN's layout, once they are used."""

    @classmethod
    def of(cls, layer: torch.nn.Conv2d, memory_format: torch.memory_format) -> "Convolution":
        assert layer.bias is not None
        return cls(layer.weight.detach(), layer.bias.detach(), memory_format)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.memory_format is torch.contiguous_format:
            return conv2d(x, self.weight, self.bias, padding=self._padding)
        if self._padding == 0:
            return _by_pixel(x, self.weight.flatten(1).T, self.bias)
        return _convolve(x, self._pack(x)[0], self.bias)

    def input_gradient(self, shape: torch.Size, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of an input of that shape."""
        if self.memory_format is torch.contiguous_format:
            of_input: torch.Tensor = conv2d_input(shape, self.weight, gradient, padding=self._padding)
            return of_input
        if self._padding == 0:
            return _by_pixel(gradient, self.weight.flatten(1), None)
        return _convolve(gradient, self._packed[1], None)

    @property
    def _padding(self) -> int:
        return self.weight.shape[2] // 2

    def _pack(self, x: torch.Tensor) -> list[torch.Tensor]:
        if not self._packed:
            mirrored = self.weight.flip(2, 3).transpose(0, 1).contiguous()
            of_output = [len(x), len(self.weight), *x.shape[2:]]
            for weight, shape in ((self.weight, list(x.shape)), (mirrored, of_output)):
                self._packed.append(
                    _mkldnn._reorder_convolution_weight.default(weight, [1, 1], [1, 1], [1, 1], 1, shape)
                )
        return self._packed


def _convolve(x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """A 3x3 convolution, channels last."""
    convolve = _mkldnn._convolution_pointwise.default
    result: torch.Tensor = convolve(x, packed, bias, [1, 1], [1, 1], [1, 1], 1, "none", [], "")
    return result


def _by_pixel(x: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The product of the channels [c] of each pixel with a matrix [c, c'], channels last."""
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
    result = rows @ matrix if bias is None else torch.addmm(bias, rows, matrix)
    return result.view(batch, height, width, -1).permute(0, 3, 1, 2)


class FrozenConvolution(torch.autograd.Function):
    """Arguments: x and the convolution."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, convolution: Convolution) -> torch.Tensor:
        ctx.shape, ctx.convolution = x.shape, convolution
        return convolution.forward(x.contiguous(memory_format=convolution.memory_format))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        gradient = gradient.contiguous(memory_format=ctx.convolution.memory_format)
        return ctx.convolution.input_gradient(ctx.shape, gradient), None
