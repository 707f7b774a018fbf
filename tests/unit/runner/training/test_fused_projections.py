"""Fused projections are linear layers with adapters, in both passes, whether they are narrow or wide."""

import pytest
import torch

from darkroom_runner.training.fused import projections
from darkroom_runner.training.fused.projections import Projections, Weights

RANK, ROWS, NARROW, WIDE = 4, 10, 24, 48


def random_projections(layers: int, inner: int, outer: int, scale: float) -> tuple[Projections, torch.Tensor]:
    """With the rows [n, in] that they get."""
    rng = torch.Generator().manual_seed(7)

    def random(*shape: int) -> tuple[torch.Tensor, ...]:
        return tuple(torch.randn(shape, generator=rng, dtype=torch.float64) for _ in range(layers))

    weights = Weights(random(outer, inner))
    return Projections(weights, random(RANK, inner), random(outer, RANK), scale), random(ROWS, inner)[0]


def by_autograd(layers: Projections, rows: torch.Tensor, gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    """Outputs, then the gradients of the rows and of A and B of each layer in turn."""
    leaf = rows.clone().requires_grad_()
    adapters = [each.clone().requires_grad_() for pair in zip(layers.a, layers.b, strict=True) for each in pair]
    outputs = [
        leaf @ (weight + layers.scale * b @ a).T
        for weight, a, b in zip(layers.weights.each, adapters[::2], adapters[1::2], strict=True)
    ]
    return [*outputs, *torch.autograd.grad(outputs, [leaf, *adapters], gradients)]


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("inner", [NARROW, WIDE])
def test_both_passes_are_those_of_linear_layers_with_adapters(inner: int, count: int, scale: float) -> None:
    layers, rows = random_projections(count, inner, inner + 8, scale)
    gradients = [torch.ones(ROWS, inner + 8, dtype=torch.float64) * (number + 1) for number in range(count)]

    outputs, inner_products = layers.forward(rows)
    of_rows, of_adapters = layers.backward(gradients, rows, inner_products)

    expected = by_autograd(layers, rows, gradients)
    torch.testing.assert_close([*outputs, of_rows, *of_adapters], expected)


def test_only_narrow_layers_add_the_adapters_to_their_weights() -> None:
    narrow, of_narrow = random_projections(3, NARROW, NARROW, 1.0)
    wide, of_wide = random_projections(3, WIDE, WIDE, 1.0)

    assert narrow.forward(of_narrow)[1] is None
    products = wide.forward(of_wide)[1]
    assert products is not None
    assert products.shape == (ROWS, 3 * RANK)


def test_layers_of_several_shapes_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """As do large ones, whose weights are not kept twice."""
    shapes = Weights((torch.ones(4, 8), torch.ones(6, 8)))
    same = (torch.ones(4, 8), torch.ones(4, 8))

    assert shapes.joined is None
    assert Weights(same).joined is not None
    monkeypatch.setattr(projections, "_JOINED_BYTES", 100)
    assert Weights(same).joined is None
