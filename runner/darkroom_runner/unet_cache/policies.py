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
    """In steps, from the noise level: without even spacing it is not a whole number (`timeline`). Heun's second pass of
    a step is at the time of the next step."""
    next_time: float
    """Of the next pass."""


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

    def observe(self, position: Position, error: float | None) -> None:  # noqa: B027 - optional to override
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

    density: float
    """Full passes per square root of the number of steps, where predictions are good: with more steps, features move
    less from one to the next, and with few steps a larger part of them is full."""
    threshold: float
    """The relative error of a predicted feature above which full passes move closer together."""
    first_block_threshold: float


PROFILES = {
    CacheProfile.QUALITY: Profile(density=1.6, threshold=1.6, first_block_threshold=0.1),
    CacheProfile.BALANCED: Profile(density=0.8, threshold=1.6, first_block_threshold=0.2),
    CacheProfile.FAST: Profile(density=0.6, threshold=2.0, first_block_threshold=0.3),
}

FIRST_GAP, INNER_GAP, LAST_GAP = 0.8, 1.2, 0.6
"""Weights of the distances between full passes: after the first, between those in the middle, and to the end. The first
is shorter: before the second full pass there is nothing to extrapolate from. The last is the shortest, since fine
details form there."""
FEWEST_FULL = 3
FEW_STEPS = 10
"""With fewer steps at least half of the passes are full: with 3 of 8, five of 60 images lost their subject."""
SINGLE_TIME, ATTENTION_TIME = 0.75, 0.6
"""Fractions of a generation after which guidance and attention are reused."""


class AdaptivePolicy(Policy):
    """Full passes at distances that the profile bounds, shortened where predictions were off.

    The error of a linear extrapolation grows with the square of its distance, so the distance at which it would
    have been `threshold` is the last one times √(threshold / error).
    """

    extrapolates = True

    def __init__(self, profile: Profile, steps: int, threshold: float, *, guidance: bool, attention: bool) -> None:
        self.steps, self.threshold, self.reuses_guidance = steps, threshold, guidance
        if attention:
            self.attention_reuse_time = ATTENTION_TIME * steps
        fewest = max(FEWEST_FULL, steps / 2) if steps < FEW_STEPS else FEWEST_FULL
        full_passes = max(profile.density * steps**0.5, fewest)
        self._unit = steps / (FIRST_GAP + INNER_GAP * (full_passes - 2) + LAST_GAP)
        """The distance of full passes with weight 1, in steps."""
        self._last: float | None = None
        self._next = 0.0

    def choose(self, position: Position, change: float | None) -> Pass:
        is_nearest = self._next < (position.time + position.next_time) / 2
        if self.threshold > 0 and not is_nearest:
            return Pass.SHALLOW
        late = position.time >= SINGLE_TIME * self.steps
        return Pass.SINGLE if self.reuses_guidance and late else Pass.FULL

    def observe(self, position: Position, error: float | None) -> None:
        longest = self._unit * (FIRST_GAP if self._last is None else INNER_GAP)
        distance = longest
        if error is not None and self._last is not None:
            covered = position.time - self._last
            distance = min(longest, covered * (self.threshold / max(error, 1e-6)) ** 0.5)
        self._last = position.time
        # From the exact target rather than the pass nearest to it.
        self._next = max(position.time, max(self._next, position.time - 0.5) + distance)
