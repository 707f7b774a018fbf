"""Linear layers with LoRA adapters and one input, both passes, outside of autograd.

With an adapter W' = W + s B A (Hu et al., arXiv 2106.09685), and s = alpha / rank. Adding B A to W first was not faster
on the small model, and is slower on wide layers.
"""

from dataclasses import dataclass

import torch

Tensors = tuple[torch.Tensor, ...]


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

    def forward(self, rows: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """For rows [n, in] the outputs [n, out], and the products with A [n, rank] that `backward` needs."""
        inner = [rows @ each.T for each in self.a]
        outputs = [
            (rows @ weight.T).addmm_(small, b.T, alpha=self.scale)
            for weight, small, b in zip(self.weights, inner, self.b, strict=True)
        ]
        return outputs, inner

    def backward(
        self, gradients: list[torch.Tensor], rows: torch.Tensor, inner: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The gradient of the rows, and those of A and B of each layer in turn."""
        of_rows, of_adapters = None, []
        for weight, a, b, product, gradient in zip(self.weights, self.a, self.b, inner, gradients, strict=True):
            small = (gradient @ b).mul_(self.scale)
            of_adapters += [small.T @ rows, (gradient.T @ product).mul_(self.scale)]
            of_rows = gradient @ weight if of_rows is None else of_rows.addmm_(gradient, weight)
            of_rows.addmm_(small, a)
        assert of_rows is not None
        return of_rows, of_adapters
