"""How far a run is and how long it will take: pure arithmetic on a plan and a clock. `progress` asks it.

What is left of the present stage is told by its own pace, and what is left of later stages by the pace of the run so
far.
"""

from collections.abc import Callable
from dataclasses import dataclass

from darkroom_contract.plan import Plan
from darkroom_contract.progress import Stage


@dataclass(frozen=True)
class Reading:
    """One look at the bar."""

    percentage: float
    remaining_seconds: float | None


class Estimate:
    """Where a run is in its plan. Stages are entered in the plan's order; the percentage never falls."""

    def __init__(self, plan: Plan, clock: Callable[[], float]) -> None:
        self._plan = plan
        self._clock = clock
        self._begun = clock()
        self._stage_begun = self._begun
        self._stage = Stage.DOWNLOADING
        self._share_at_start = 0.0
        self._left = dict(plan)
        self._percentage = 0.0

    def enter(self, stage: Stage, done_share: float = 0.0) -> None:
        """Begin a stage, of which an earlier run has done a part; the stage before it is done."""
        if stage is not self._stage:
            self._left.pop(self._stage, None)
        self._stage = stage
        self._share_at_start = done_share
        self._stage_begun = self._clock()

    def read(self, step: int, total: int) -> Reading:
        """The state after `step` of `total` steps of the present stage."""
        if self._stage is Stage.DONE:
            return Reading(100.0, 0.0)
        share = min(step / total, 1.0) if total else 0.0
        whole = sum(self._plan.values())
        now, later = self._left.get(self._stage, 0.0), sum(self._left.values()) - self._left.get(self._stage, 0.0)
        done = whole - later - now * (1 - share)
        self._percentage = max(self._percentage, 100.0 * done / whole)
        return Reading(self._percentage, self._remaining(share, now, later, done))

    def _remaining(self, share: float, now: float, later: float, done: float) -> float | None:
        elapsed, in_stage = self._clock() - self._begun, self._clock() - self._stage_begun
        done -= now * self._share_at_start
        if done <= 0 or elapsed <= 0:
            return None
        pace = elapsed / done
        own_share = share - self._share_at_start
        if own_share > 0:
            stage_left = in_stage / own_share * (1 - share)
            # The heaviest stage knows the pace best, once it runs.
            pace = in_stage / (now * own_share) if now > later else pace
        else:
            stage_left = now * (1 - share) * pace
        return stage_left + later * pace
