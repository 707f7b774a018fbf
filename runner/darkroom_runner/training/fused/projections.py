"""Linear layers with LoRA adapters and one input, both passes, outside of autograd.

With an adapter W' = W + s B A (Hu et al., arXiv 2106.09685), and s = alpha / rank. Two ways to the same result: W x and
s B (A x) of each layer, or W' of all layers as one matrix, and W' x. The second takes fewer and larger operations, and
less arithmetic where layers are narrow compared to the rank.
"""

from dataclasses import dataclass

import torch

Tensors = tuple[torch.Tensor, ...]

_NARROW = 4
"""In units of rank: layers are merged where in × out ≤ 4 rank (in + out). For n rows, the gradient of W' takes
2 n in × out operations; the products with A and B take 6 n rank (in + out)."""


@dataclass(frozen=True)
class Projections:
    """Layers without bias."""

    weights: Tensors
    """[out, in] each, frozen."""
    a: Tensors
    """[rank, in] each."""
    b: Tensors
    """[out, rank] each."""
    scale: float

    @property
    def merged(self) -> bool:
        """Whether the layers compute as one matrix."""
        (wide, narrow), rank = self.weights[0].shape, self.a[0].shape[0]
        return wide * narrow <= _NARROW * rank * (wide + narrow)

    def forward(self, rows: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The outputs [n, out] for rows [n, in], and what `backward` needs."""
        if self.merged:
            matrix = self._merge()
            return list((rows @ matrix.T).split([len(each) for each in self.weights], dim=1)), [matrix]
        inner = [rows @ each.T for each in self.a]
        outputs = [
            (rows @ weight.T).addmm_(small, b.T, alpha=self.scale)
            for weight, small, b in zip(self.weights, inner, self.b, strict=True)
        ]
        return outputs, inner

    def backward(
        self, gradients: list[torch.Tensor], rows: torch.Tensor, kept: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The gradient of the rows, and those of A and B of each layer in turn."""
        if self.merged:
            return self._backward_merged(gradients, rows, kept[0])
        of_rows, of_adapters = None, []
        for weight, a, b, inner, gradient in zip(self.weights, self.a, self.b, kept, gradients, strict=True):
            small = (gradient @ b).mul_(self.scale)
            of_adapters += [small.T @ rows, (gradient.T @ inner).mul_(self.scale)]
            of_rows = gradient @ weight if of_rows is None else of_rows.addmm_(gradient, weight)
            of_rows.addmm_(small, a)
        assert of_rows is not None
        return of_rows, of_adapters

    def _merge(self) -> torch.Tensor:
        matrix = self.weights[0].new_empty(sum(map(len, self.weights)), self.weights[0].shape[1])
        parts = matrix.split([len(each) for each in self.weights])
        for part, weight, a, b in zip(parts, self.weights, self.a, self.b, strict=True):
            torch.addmm(weight, b, a, alpha=self.scale, out=part)
        return matrix

    def _backward_merged(
        self, gradients: list[torch.Tensor], rows: torch.Tensor, matrix: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        together = gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1)
        of_matrix = (together.T @ rows).mul_(self.scale)
        parts = of_matrix.split([len(each) for each in self.weights])
        of_adapters = [
            each for part, a, b in zip(parts, self.a, self.b, strict=True) for each in (b.T @ part, part @ a.T)
        ]
        return together @ matrix, of_adapters
