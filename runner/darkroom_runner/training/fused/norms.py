"""Layer and group normalisation with frozen weights, both passes, outside of autograd."""

from dataclasses import dataclass

import torch

_layer_norm_backward = torch.ops.aten.native_layer_norm_backward.default
_group_norm_backward = torch.ops.aten.native_group_norm_backward.default
_silu_backward = torch.ops.aten.silu_backward.grad_input


@dataclass(frozen=True)
class LayerNorm:
    """Over the last dimension."""

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The normalised x, and its statistics for `backward`: small next to it."""
        normed: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = torch.native_layer_norm(
            x, self.weight.shape, self.weight, self.bias, self.eps
        )
        return normed

    def backward(self, gradient: torch.Tensor, x: torch.Tensor, mean: torch.Tensor, rstd: torch.Tensor) -> torch.Tensor:
        of_input: torch.Tensor = _layer_norm_backward(
            gradient, x, self.weight.shape, mean, rstd, self.weight, self.bias, [True, False, False]
        )[0]
        return of_input


@dataclass(frozen=True)
class GroupNormSilu:
    """Group normalisation of [b, c, h, w], then SiLU. Only the input is needed for the backward pass."""

    weight: torch.Tensor
    bias: torch.Tensor
    groups: int
    eps: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.silu(self._norm(x)[0], inplace=True)

    def backward(self, gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Overwrites `gradient`."""
        if gradient.stride() != x.stride():
            # The operator below reads it in the memory format of x, and would return something else without an error.
            gradient = torch.empty_like(x).copy_(gradient)
        normed, mean, rstd = self._norm(x)
        _silu_backward(gradient, normed, grad_input=gradient)
        batch, channels, height, width = x.shape
        of_input: torch.Tensor = _group_norm_backward(
            gradient,
            x,
            mean,
            rstd,
            self.weight,
            batch,
            channels,
            height * width,
            self.groups,
            [True, False, False],
        )[0]
        return of_input

    def _norm(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch, channels, height, width = x.shape
        normed: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = torch.native_group_norm(
            x, self.weight, self.bias, batch, channels, height * width, self.groups, self.eps
        )
        return normed
