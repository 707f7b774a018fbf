"""AdamW in one call has the values and the state of torch's."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from darkroom_runner.training.flat_adamw import FlatAdamW

SETTINGS: dict[str, Any] = {"lr": 1e-2, "weight_decay": 1e-2}
Parameters = list[torch.nn.Parameter]


def parameters() -> Parameters:
    rng = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape, generator=rng)) for shape in ((16, 5), (7, 16), (3, 3), (4, 1))]


def advance(given: Parameters, optimizer: torch.optim.Optimizer, steps: range, unused: tuple[int, ...] = (3,)) -> None:
    """Steps with gradients that depend on the step alone, for all parameters but the `unused`."""
    for step in steps:
        rng = torch.Generator().manual_seed(step)
        for index, each in enumerate(given):
            gradient = torch.randn(each.shape, generator=rng)
            each.grad = None if index in unused else gradient
        optimizer.step()
        optimizer.zero_grad()


@pytest.fixture
def expected() -> Callable[..., tuple[Parameters, torch.optim.Optimizer]]:
    """Parameters and optimizer after torch's steps; each argument is a range of steps, and what is unused in them."""

    def take(*parts: tuple[range, tuple[int, ...]]) -> tuple[Parameters, torch.optim.Optimizer]:
        given = parameters()
        optimizer = torch.optim.AdamW(given, **SETTINGS, fused=True)
        for steps, unused in parts:
            advance(given, optimizer, steps, unused)
        return given, optimizer

    return take


def require_close(
    one: tuple[Parameters, torch.optim.Optimizer], other: tuple[Parameters, torch.optim.Optimizer]
) -> None:
    torch.testing.assert_close(one[0], other[0])
    for mine, yours in zip(one[0], other[0], strict=True):
        torch.testing.assert_close(dict(one[1].state.get(mine, {})), dict(other[1].state.get(yours, {})))


def test_values_and_state_are_those_of_torch(expected: Callable[..., tuple[Parameters, torch.optim.Optimizer]]) -> None:
    given = parameters()
    optimizer = FlatAdamW(given, **SETTINGS)

    advance(given, optimizer, range(5))

    require_close((given, optimizer), expected((range(5), (3,))))
    assert given[3] not in optimizer.state


def test_values_and_state_replaced_between_steps_are_used(
    expected: Callable[..., tuple[Parameters, torch.optim.Optimizer]],
) -> None:
    """As a checkpoint does."""
    saved, saved_optimizer = expected((range(5), (3,)))
    given = parameters()
    optimizer = FlatAdamW(given, **SETTINGS)
    advance(given, optimizer, range(20, 22))
    for mine, yours in zip(given, saved, strict=True):
        mine.data.copy_(yours.data)
        optimizer.state.pop(mine, None)
        if yours in saved_optimizer.state:
            optimizer.state[mine] = {name: each.clone() for name, each in saved_optimizer.state[yours].items()}

    advance(given, optimizer, range(5, 8))

    require_close((given, optimizer), expected((range(8), (3,))))


def test_parameters_may_have_gradients_in_some_steps_only(
    expected: Callable[..., tuple[Parameters, torch.optim.Optimizer]],
) -> None:
    parts = ((range(2), (3,)), (range(2, 4), ()), (range(4, 5), (0, 1)), (range(5, 8), ()))
    given = parameters()
    optimizer = FlatAdamW(given, **SETTINGS)

    for steps, unused in parts:
        advance(given, optimizer, steps, unused)

    require_close((given, optimizer), expected(*parts))


def test_a_step_without_gradients_changes_nothing() -> None:
    given = parameters()

    FlatAdamW(given, **SETTINGS).step()

    assert all(map(torch.equal, given, parameters()))


def test_all_parameters_are_updated_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    update: Any = torch._fused_adamw_

    def counted(values: list[torch.Tensor], *arguments: object, **options: object) -> None:
        calls.append(len(values))
        update(values, *arguments, **options)

    monkeypatch.setattr(torch, "_fused_adamw_", counted)
    given = parameters()

    advance(given, FlatAdamW(given, **SETTINGS), range(2))

    assert calls == [1, 1]
