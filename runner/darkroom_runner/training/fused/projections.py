"""Linear layers with LoRA adapters and one input, both passes, outside of autograd.

With an adapter W' = W + s B A (Hu et al., arXiv 2106.09685), and s = alpha / rank. Narrow layers compute W' first: a
few products of good size instead of many small ones, for all layers at once. Wide layers multiply by A and then by B.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

Tensors = tuple[torch.Tensor, ...]

_JOINED_BYTES = 2 * 2**20
"""Larger weights are not kept twice: one product is not faster than several large ones."""

_NARROW = 4
"""Up to in * out = 4 * rank * (in + out), W' is computed first. From 3 on it takes more multiplications; measured."""


@dataclass(frozen=True)
class Weights:
    """The frozen weights of layers with one input."""

    each: Tensors
    """[out, in] each."""
    biases: Tensors | None = None
    """[out] each."""

    @cached_property
    def bias(self) -> torch.Tensor | None:
        """[sum of out]"""
        if self.biases is None:
            return None
        return self.biases[0] if len(self.biases) == 1 else torch.cat(self.biases)

    @cached_property
    def joined(self) -> torch.Tensor | None:
        """[sum of out, in], if they are small and of one shape."""
        if sum(each.nbytes for each in self.each) > _JOINED_BYTES or len({each.shape for each in self.each}) > 1:
            return None
        return self.each[0] if len(self.each) == 1 else torch.cat(self.each)


@dataclass(frozen=True)
class Projections:
    """Layers with adapters of one rank."""

    weights: Weights
    a: Tensors
    """[rank, in] each."""
    b: Tensors
    """[out, rank] each."""
    scale: float

    def forward(self, rows: torch.Tensor) -> tuple[Tensors, torch.Tensor | None]:
        """For rows [n, in] the outputs [n, out], and the products with A that `backward` needs of wide layers."""
        if self._is_narrow:
            return self._split(_linear(rows, self._merged, self.weights.bias)), None
        inner = rows @ self._joined_a.T
        outputs = self._without_adapters(rows)
        for output, product, b in zip(outputs, self._by_layer(inner), self.b, strict=True):
            output.addmm_(product, b.T, alpha=self.scale)
        return outputs, inner

    def backward(
        self, gradients: Sequence[torch.Tensor], rows: torch.Tensor, inner: torch.Tensor | None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The gradient of the rows, and those of A and B of each layer in turn."""
        if inner is None:
            return self._backward_merged(_join(gradients), rows)
        by_inner = torch.empty_like(inner)
        for part, gradient, b in zip(self._by_layer(by_inner), gradients, self.b, strict=True):
            part.addmm_(gradient, b, beta=0, alpha=self.scale)
        of_rows = self._through_weights(gradients).addmm_(by_inner, self._joined_a)
        of_a = (by_inner.T @ rows).chunk(len(self.a))
        of_b = [
            (gradient.T @ product).mul_(self.scale)
            for gradient, product in zip(gradients, self._by_layer(inner), strict=True)
        ]
        return of_rows, _in_turn(of_a, of_b)

    def _without_adapters(self, rows: torch.Tensor) -> Tensors:
        weights = self.weights
        if weights.joined is not None:
            return self._split(_linear(rows, weights.joined, weights.bias))
        biases = weights.biases or (None,) * len(weights.each)
        return tuple(_linear(rows, each, bias) for each, bias in zip(weights.each, biases, strict=True))

    def _split(self, outputs: torch.Tensor) -> Tensors:
        return (outputs,) if len(self.a) == 1 else outputs.split([len(each) for each in self.weights.each], dim=1)

    @cached_property
    def _is_narrow(self) -> bool:
        outer, inner = self.weights.each[0].shape
        return self.weights.joined is not None and outer * inner <= _NARROW * len(self.a[0]) * (outer + inner)

    @cached_property
    def _merged(self) -> torch.Tensor:
        """W' of all layers, [sum of out, in]."""
        joined = self.weights.joined
        assert joined is not None
        layers = joined.view(len(self.a), -1, joined.shape[1])
        return torch.baddbmm(layers, *self._stacked, alpha=self.scale).view_as(joined)

    def _backward_merged(self, gradient: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """`gradient`: [n, sum of out]"""
        b, a = self._stacked
        of_merged = (gradient.T @ rows).view(len(a), -1, rows.shape[1])
        of_a, of_b = torch.bmm(b.mT, of_merged), torch.bmm(of_merged, a.mT)
        if self.scale != 1:
            of_a *= self.scale
            of_b *= self.scale
        return gradient @ self._merged, _in_turn(of_a.unbind(), of_b.unbind())

    @cached_property
    def _stacked(self) -> tuple[torch.Tensor, torch.Tensor]:
        """B [layers, out, rank] and A [layers, rank, in]."""
        if len(self.a) == 1:
            return self.b[0][None], self.a[0][None]
        return torch.stack(self.b), torch.stack(self.a)

    def _through_weights(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """The gradient of the rows without the adapters."""
        joined = self.weights.joined
        if joined is not None:
            return _join(gradients) @ joined
        of_rows = gradients[0] @ self.weights.each[0]
        for gradient, weight in zip(gradients[1:], self.weights.each[1:], strict=True):
            of_rows.addmm_(gradient, weight)
        return of_rows

    @cached_property
    def _joined_a(self) -> torch.Tensor:
        """[layers x rank, in]"""
        return self.a[0] if len(self.a) == 1 else torch.cat(self.a)

    def _by_layer(self, inner: torch.Tensor) -> Tensors:
        return inner.chunk(len(self.a), dim=1)


def _linear(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)


def _join(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """[n, sum of out]"""
    return gradients[0] if len(gradients) == 1 else torch.cat(tuple(gradients), dim=1)


def _in_turn(of_a: Sequence[torch.Tensor], of_b: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [each for pair in zip(of_a, of_b, strict=True) for each in pair]
