"""Which part of the U-Net runs at each pass. Pure decisions; `cached_unet` carries them out.

Interval     a full pass at every n-th step, the last feature between them (DeepCache, arXiv 2312.00858)
FirstBlock   a full pass when the first block's output has changed (the first-block cache of ParaAttention)
Adaptive     features between full passes are extrapolated; how far a prediction was off decides how many steps
             the next one has to cover, like the step size of an ODE solver
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum

from darkroom_contract.specs.cache import CacheProfile


class Pass(StrEnum):
    """How much of the U-Net runs."""

    FULL = "full"
    SINGLE = "single"
    """The deep part on the inputs with the prompt only; the difference that guidance makes is predicted."""
    SHALLOW = "shallow"


@dataclass(frozen=True)
class Position:
    """Where in a generation a pass is."""

    step: int
    """Of the sampler, from 0; Heun has two passes in each."""
    time: float
    """In steps: Heun's second pass of a step is at the time of the next step."""


class Policy(ABC):
    """One object per generation."""

    branch = 0
    """The skip connection up to which layers run at every pass."""
    extrapolates = False
    """Whether features between full passes are extrapolated from the last two, rather than repeated."""
    attention_reuse_time = float("inf")
    """The time in steps from which the attention to the prompt is reused."""
    measures_change = False
    """Whether `choose` needs the relative change of the outer part since the last full pass: it waits for the
    device at every pass."""

    @abstractmethod
    def choose(self, position: Position, change: float | None) -> Pass:
        """The pass at a position. The first one of a generation is always full."""

    def observe(self, position: Position, error: float | None) -> None:
        """Called after a full or single pass with the relative error of the prediction that it replaced; None at the
        first."""


class IntervalPolicy(Policy):
    def __init__(self, interval: int, branch: int) -> None:
        self.interval, self.branch = interval, branch

    def choose(self, position: Position, change: float | None) -> Pass:
        return Pass.SHALLOW if position.step % self.interval else Pass.FULL


class FirstBlockPolicy(Policy):
    """Features are repeated until the first block's output has changed by more than `threshold`."""

    measures_change = True

    def __init__(self, threshold: float, branch: int) -> None:
        self.threshold, self.branch = threshold, branch

    def choose(self, position: Position, change: float | None) -> Pass:
        return Pass.FULL if change is None or change > self.threshold else Pass.SHALLOW


@dataclass(frozen=True)
class Profile:
    """Bounds of the adaptive policy. Chosen on the small model: `benchmarks/unet_cache.py` shows their effect."""

    full_passes: float
    """The number of full passes in a generation in which all predictions are good."""
    threshold: float
    """The relative error of a predicted feature above which full passes move closer together."""
    first_block_threshold: float


PROFILES = {
    CacheProfile.QUALITY: Profile(full_passes=8.0, threshold=0.08, first_block_threshold=0.08),
    CacheProfile.BALANCED: Profile(full_passes=4.0, threshold=0.25, first_block_threshold=0.15),
    CacheProfile.FAST: Profile(full_passes=3.0, threshold=0.4, first_block_threshold=0.3),
}

FIRST_GAP, LATER_GAP = 0.8, 1.2
"""Distance of full passes, relative to an even distribution. The first is shorter: before the second full pass there
is nothing to extrapolate from, and features move fastest at the start. The last gap is shorter too, as what is left."""
MIN_FULL_STEPS = 2
"""Fewest steps of which the first two are full whatever the profile: an extrapolation needs two."""
SINGLE_TIME, ATTENTION_TIME = 0.75, 0.6
"""Fractions of a generation after which guidance and attention are reused."""


class AdaptivePolicy(Policy):
    """Full passes at distances that the profile bounds, shortened where predictions were off.

    The error of a linear extrapolation grows with the square of its distance, so the distance at which it would
    have been `threshold` is the last one times √(threshold / error).
    """

    extrapolates = True

    def __init__(self, profile: Profile, steps: int, threshold: float, *, guidance: bool, attention: bool) -> None:
        self.steps, self.threshold = steps, threshold
        self.gap = steps / profile.full_passes
        self.reuses_guidance = guidance
        if attention:
            self.attention_reuse_time = ATTENTION_TIME * steps
        self._last: float | None = None
        self._next = 0.0
        self._full_passes = 0

    def choose(self, position: Position, change: float | None) -> Pass:
        if position.time < self._next:
            return Pass.SHALLOW
        late = position.time >= SINGLE_TIME * self.steps and self._full_passes > 1
        return Pass.SINGLE if self.reuses_guidance and late else Pass.FULL

    def observe(self, position: Position, error: float | None) -> None:
        longest = self.gap * (FIRST_GAP if self._last is None else LATER_GAP)
        if error is None or self._last is None:
            distance = longest if self.threshold > 0 else 0.0
        else:
            covered = position.time - self._last
            distance = min(longest, covered * (self.threshold / max(error, 1e-6)) ** 0.5)
        self._last, self._full_passes = position.time, self._full_passes + 1
        # At least the next step; rounded, so that passes do not drift from their even distribution.
        self._next = position.time + max(1.0, float(round(distance)))
