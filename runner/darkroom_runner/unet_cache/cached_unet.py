"""The object that stands in for a pipeline's U-Net during one generation."""

from dataclasses import dataclass
from typing import Any

import torch

from darkroom_runner.unet_cache.network import ImageNetwork, Inputs, Network
from darkroom_runner.unet_cache.policies import Pass, Policy, Position
from darkroom_runner.unet_cache.timeline import Timeline


@dataclass
class CacheReport:
    """The passes of one generation or several; all 0 without a cache."""

    full: int = 0
    single: int = 0
    """Full passes on the inputs with the prompt only."""
    shallow: int = 0

    def metrics(self, passes: str, full_passes: str) -> dict[str, float]:
        """All passes and those that ran the whole U-Net, under these names; empty without a cache."""
        whole = self.full + self.single
        return {passes: whole + self.shallow, full_passes: whole} if whole else {}


class CachedUnet:
    """Called by the pipeline like its U-Net; all other attributes are the U-Net's own."""

    def __init__(self, pipeline: Any, network: Network, policy: Policy, report: CacheReport) -> None:
        self._pipeline, self._network, self._policy, self._report = pipeline, network, policy, report
        self._timeline: Timeline | None = None
        self._features = Features(policy.extrapolates)
        self._outer_of_full: torch.Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network.unet, name)

    def __call__(
        self, sample: torch.Tensor, timestep: torch.Tensor, *, return_dict: bool = False, **conditions: Any
    ) -> tuple[torch.Tensor]:
        """The prediction of a step, as a tuple like diffusers' with `return_dict=False`."""
        if return_dict:
            raise TypeError("the U-Net cache returns tuples only: pass return_dict=False")
        if self._timeline is None:
            self._timeline = Timeline(self._pipeline, timestep)
        position = self._timeline.next_position()
        inputs = self._network.inputs(sample, timestep, **conditions)
        skips = self._network.outer(inputs, self._policy.branch)
        feature = self._feature(position, inputs, skips)
        predicted = self._network.finish(inputs, skips, feature)
        return (self._network.output(predicted, sample),)

    def _feature(self, position: Position, inputs: Inputs, skips: list[torch.Tensor]) -> torch.Tensor:
        """The deep feature of a pass: computed, in part computed, or predicted."""
        assert self._timeline is not None
        chosen = Pass.FULL
        if self._features.known:
            chosen = self._policy.choose(position, self._change(skips))
        if chosen is Pass.SINGLE and not self._timeline.guided:
            chosen = Pass.FULL
        setattr(self._report, chosen.value, getattr(self._report, chosen.value) + 1)
        predicted = self._features.at(position.time) if self._features.known else None
        if chosen is Pass.SHALLOW and predicted is not None:
            return predicted
        feature = self._compute(chosen, position, inputs, skips, predicted)
        self._policy.observe(position, self._error(feature, predicted))
        self._features.add(position.time, feature)
        self._outer_of_full = skips[-1] if self._policy.measures_change else None
        return feature

    def _compute(
        self,
        chosen: Pass,
        position: Position,
        inputs: Inputs,
        skips: list[torch.Tensor],
        predicted: torch.Tensor | None,
    ) -> torch.Tensor:
        network, branch = self._network, self._policy.branch
        if isinstance(network, ImageNetwork):
            network.attention.reuse_results = position.time >= self._policy.attention_reuse_time
        if chosen is Pass.FULL or predicted is None:
            return network.deep(inputs, skips, branch)
        half = len(predicted) // 2
        conditional = network.deep(inputs.conditional(), [skip[half:] for skip in skips], branch)
        # The difference that the prompt makes is predicted: it moves less than the features themselves.
        return torch.cat([conditional + (predicted[:half] - predicted[half:]), conditional])

    def _change(self, skips: list[torch.Tensor]) -> float | None:
        if self._outer_of_full is None:
            return None
        return _relative_distance(skips[-1], self._outer_of_full)

    def _error(self, feature: torch.Tensor, predicted: torch.Tensor | None) -> float | None:
        """Waits for the device, but only after the few full passes."""
        return None if predicted is None or not self._policy.extrapolates else _relative_distance(predicted, feature)


EXTRAPOLATION = 0.8
"""The part of the last change that an extrapolation continues: features slow down from step to step."""


class Features:
    """The deep features of the last one or two full passes, with their times."""

    def __init__(self, extrapolates: bool) -> None:
        self._kept = 2 if extrapolates else 1
        self._entries: list[tuple[float, torch.Tensor]] = []

    @property
    def known(self) -> bool:
        return bool(self._entries)

    def add(self, time: float, feature: torch.Tensor) -> None:
        # Heun can run a full pass twice at one time; only the later is kept.
        others = [entry for entry in self._entries if entry[0] != time]
        self._entries = [*others, (time, feature)][-self._kept :]

    def at(self, time: float) -> torch.Tensor:
        """The last feature, changed further at `EXTRAPOLATION` of the rate between the last two."""
        last_time, last = self._entries[-1]
        if len(self._entries) == 1:
            return last
        earlier_time, earlier = self._entries[0]
        ahead = EXTRAPOLATION * (time - last_time) / (last_time - earlier_time)
        return torch.lerp(earlier, last, 1 + ahead)


def _relative_distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).float().norm() / other.float().norm().clamp_min(1e-6))
