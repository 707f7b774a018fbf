"""Linear layers with LoRA adapters and one input, both passes, outside of autograd.

With an adapter W' = W + s B A (Hu et al., arXiv 2106.09685), and s = alpha / rank. Adding B A to W first was not faster
on the small model, and is slower on wide layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

Tensors = tuple[torch.Tensor, ...]

_JOINED_BYTES = 2 * 2**20
"""Larger weights are not kept twice: one product is not faster than several large ones."""


@dataclass(frozen=True)
class Weights:
    """The frozen weights of layers with one input."""

    each: Tensors
    """[out, in] each."""

    @cached_property
    def joined(self) -> torch.Tensor | None:
        """[sum of out, in], if they are small."""
        if sum(each.nbytes for each in self.each) > _JOINED_BYTES:
            return None
        return self.each[0] if len(self.each) == 1 else torch.cat(self.each)


@dataclass(frozen=True)
class Projections:
    """Layers without bias, with adapters of one rank."""

    weights: Weights
    a: Tensors
    """[rank, in] each."""
    b: Tensors
    """[out, rank] each."""
    scale: float

    def forward(self, rows: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        """For rows [n, in] the outputs [n, out], and the products with A [n, layers x rank] that `backward` needs."""
        inner, joined = rows @ self._a.T, self.weights.joined
        if joined is None:
            outputs = tuple(rows @ each.T for each in self.weights.each)
        else:
            outputs = (rows @ joined.T).split(self._sizes, dim=1)
        for output, product, b in zip(outputs, self._by_layer(inner), self.b, strict=True):
            output.addmm_(product, b.T, alpha=self.scale)
        return outputs, inner

    def backward(
        self, gradients: Sequence[torch.Tensor], rows: torch.Tensor, inner: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The gradient of the rows, and those of A and B of each layer in turn."""
        by_inner = torch.empty_like(inner)
        for part, gradient, b in zip(self._by_layer(by_inner), gradients, self.b, strict=True):
            part.addmm_(gradient, b, beta=0, alpha=self.scale)
        of_rows = self._through_weights(gradients).addmm_(by_inner, self._a)
        of_a = (by_inner.T @ rows).chunk(len(self.a))
        of_b = [
            (gradient.T @ product).mul_(self.scale)
            for gradient, product in zip(gradients, self._by_layer(inner), strict=True)
        ]
        return of_rows, [each for pair in zip(of_a, of_b, strict=True) for each in pair]

    def _through_weights(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """The gradient of the rows without the adapters."""
        joined = self.weights.joined
        if joined is not None:
            return (gradients[0] if len(gradients) == 1 else torch.cat(tuple(gradients), dim=1)) @ joined
        of_rows = gradients[0] @ self.weights.each[0]
        for gradient, weight in zip(gradients[1:], self.weights.each[1:], strict=True):
            of_rows.addmm_(gradient, weight)
        return of_rows

    @cached_property
    def _a(self) -> torch.Tensor:
        """[layers x rank, in]"""
        return self.a[0] if len(self.a) == 1 else torch.cat(self.a)

    @property
    def _sizes(self) -> list[int]:
        return [len(each) for each in self.weights.each]

    def _by_layer(self, inner: torch.Tensor) -> Tensors:
        return inner.chunk(len(self.a), dim=1)
