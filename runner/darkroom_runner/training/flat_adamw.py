"""AdamW for many small parameters on the CPU: one call for all of them.

torch's own, fused too, counts the steps of each parameter by itself: for hundreds of adapters that takes several times
as long as the arithmetic.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.adamw import adamw

_MOMENTS = ("exp_avg", "exp_avg_sq")
_STEP = "step"

Tensors = Sequence[torch.Tensor]


class FlatAdamW(torch.optim.AdamW):
    """The same values and the same state by parameter as `AdamW`, for one group of float32 parameters on the CPU."""

    def __init__(self, parameters: list[torch.nn.Parameter], **settings: Any) -> None:
        super().__init__(parameters, **settings, fused=True)
        self._flat: _Flat | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of all parameters that have gradients. No closures."""
        [group] = self.param_groups
        parameters = [each for each in group["params"] if each.grad is not None]
        if not parameters:
            return
        states = [self.state[each] for each in parameters]
        if self._flat is None or not self._flat.holds(states):
            self._flat = _Flat.of(parameters, states)
        if self._flat is None:
            super().step()
        else:
            self._flat.step(parameters, group)


@dataclass(frozen=True)
class _Flat:
    """The state of parameters in one tensor each; that of each parameter is a view of it."""

    states: list[dict[str, torch.Tensor]]
    views: list[torch.Tensor]
    """The first moment of each parameter."""
    moments: list[torch.Tensor]
    step_count: torch.Tensor

    @classmethod
    def of(cls, parameters: list[torch.nn.Parameter], states: list[dict[str, torch.Tensor]]) -> "_Flat | None":
        """Moves the parameters' states. None if they have taken different numbers of steps."""
        counts = [state.get(_STEP, torch.zeros(())).clone() for state in states]
        if len({count.item() for count in counts}) > 1:
            for state, parameter, count in zip(states, parameters, counts, strict=True):
                # Copies, as `AdamW` adds to each.
                state.update({name: state.get(name, torch.zeros_like(parameter)).clone() for name in _MOMENTS})
                state[_STEP] = count
            return None
        moments = []
        for name in _MOMENTS:
            pairs = zip(states, parameters, strict=True)
            moments.append(_flatten([state.get(name, torch.zeros_like(each)) for state, each in pairs]))
            for state, view in zip(states, _unflatten(moments[-1], parameters), strict=True):
                state[name] = view
        for state in states:
            state[_STEP] = counts[0]
        return cls(states, [state[_MOMENTS[0]] for state in states], moments, counts[0])

    def holds(self, states: list[dict[str, torch.Tensor]]) -> bool:
        """Whether these are the states, unchanged by others."""
        if len(states) != len(self.states):
            return False
        return all(
            state is own and state.get(_MOMENTS[0]) is view
            for state, own, view in zip(states, self.states, self.views, strict=True)
        )

    def step(self, parameters: list[torch.nn.Parameter], group: dict[str, Any]) -> None:
        values = _flatten(parameters)
        gradients = _flatten([each.grad for each in parameters if each.grad is not None])
        first, second = ([each] for each in self.moments)
        beta1, beta2 = group["betas"]
        adamw(
            [values],
            [gradients],
            first,
            second,
            [],
            [self.step_count],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        torch._foreach_copy_([*parameters], [*_unflatten(values, parameters)])


def _flatten(tensors: Tensors) -> torch.Tensor:
    flat: torch.Tensor = torch._utils._flatten_dense_tensors(tensors)
    return flat


def _unflatten(flat: torch.Tensor, like: Tensors) -> Tensors:
    """Views of a flat tensor, in the shapes of others."""
    views: Tensors = torch._utils._unflatten_dense_tensors(flat, like)
    return views
