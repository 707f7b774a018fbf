"""Fused projections are linear layers with adapters, in both passes, whether they are narrow or wide."""

from collections.abc import Sequence

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


def random_gradients(layers: int, outer: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(8)
    return [torch.randn(ROWS, outer, generator=rng, dtype=torch.float64) for _ in range(layers)]


def both_passes(layers: Projections, rows: torch.Tensor, gradients: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """As `by_autograd`."""
    outputs, inner_products = layers.forward(rows)
    of_rows, of_adapters = layers.backward(gradients, rows, inner_products)
    return [*outputs, of_rows, *of_adapters]


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("inner", [NARROW, WIDE])
def test_both_passes_are_those_of_linear_layers_with_adapters(inner: int, count: int, scale: float) -> None:
    layers, rows = random_projections(count, inner, inner + 8, scale)
    gradients = random_gradients(count, inner + 8)

    torch.testing.assert_close(both_passes(layers, rows, gradients), by_autograd(layers, rows, gradients))


@pytest.mark.parametrize("inner", [NARROW, WIDE])
def test_rows_and_gradients_need_not_be_contiguous(inner: int) -> None:
    """As they are between attention's heads, where some are parts of larger tensors."""
    layers, rows = random_projections(3, inner, inner + 8, 0.5)
    columns = torch.stack((rows, -rows), dim=2)[:, :, 0]
    gradients = random_gradients(3, inner + 8)
    split = torch.cat(gradients, dim=1).split(inner + 8, dim=1)
    transposed = [each.T.contiguous().T for each in gradients]
    assert not any(each.is_contiguous() for each in (columns, *split, *transposed))

    expected = by_autograd(layers, rows, gradients)

    torch.testing.assert_close(both_passes(layers, columns, split), expected)
    torch.testing.assert_close(both_passes(layers, columns, transposed), expected)


@pytest.mark.parametrize("inner", [NARROW, WIDE])
def test_each_layer_takes_its_own_gradient(inner: int) -> None:
    """With those of other layers all gradients are others, so the comparisons above find an exchange."""
    layers, rows = random_projections(3, inner, inner + 8, 0.5)
    first, second, third = random_gradients(3, inner + 8)

    expected = by_autograd(layers, rows, [first, second, third])[3:]
    permuted = both_passes(layers, rows, [third, first, second])[3:]

    for one, other in zip(expected, permuted, strict=True):
        assert (one - other).abs().max() > 0.1


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
