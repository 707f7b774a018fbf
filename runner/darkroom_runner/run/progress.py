"""Progress of one run: the current stage, steps done, percentage and estimated time remaining.

Every task and the life cycle report to the run's one `ProgressTracker`, which keeps all counts and sends events to
Redis (`progress_events`). The time remaining in the current stage follows that stage's pace; the time of later stages
follows it too in a stage that takes most of the time, and the pace of the whole run otherwise. Before the first step it
is unknown: how long a download or the loading of a model takes says nothing of the pace of the steps.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from darkroom_contract.plan import Plan
from darkroom_contract.progress import MAX_FILES, FinishedImage, Preview, ProgressEvent, Stage, stream_name
from darkroom_contract.runs import RunDocument
from darkroom_runner.run.progress_events import EventSender, NullSender, RedisSender
from darkroom_runner.run.start_clock import StartClock

log = logging.getLogger(__name__)

MIN_INTERVAL_SECONDS = 0.25
"""Steps that follow faster than this are reported only once per interval; the first and the last step always are."""
_WORK = frozenset({Stage.TRAINING, Stage.DENOISING, Stage.ANIMATING})
"""Stages whose first step ends the start of a run."""
_PACED = _WORK | {Stage.DRAWING_CLASS_IMAGES}
"""Stages that take most of the time. How long loading took says nothing about them."""


class ProgressTracker:
    """Stage, step, total, percentage and time remaining of a run. A context manager.

    Stages are entered in the order of the plan. The percentage never falls.
    """

    def __init__(
        self,
        attempt: int,
        plan: Plan,
        sender: EventSender,
        clock: Callable[[], float] = time.monotonic,
        start: StartClock | None = None,
    ) -> None:
        self.start = start or StartClock()
        """What of the run's start took how long, up to the first step."""
        self._attempt = attempt
        self._plan = plan
        self._sender = sender
        self._clock = clock
        self._stage = next(iter(plan), Stage.LOADING_MODEL)
        self._step, self._total = 0, 0
        self._fraction_at_start = 0.0
        """Part of the current stage that an earlier run had done."""
        self._remaining_plan = dict(plan)
        """Planned work of the current and later stages."""
        self._fractions: dict[Stage, Callable[[int, float], float]] = {}
        self._between = 0.0
        """Work since the newest step."""
        self._percentage = 0.0
        self._has_pace = False
        """Whether this run has done a step of the stages that take most of the time."""
        self._metrics: dict[str, float] = {}
        """Those of the stage's newest step."""
        self._finished_images: tuple[FinishedImage, ...] = ()
        self._run_started = self._stage_started = clock()
        self._sent_at = self._preview_sent_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sender.close()

    def plans(self, stage: Stage) -> bool:
        """Whether the run has work of this stage. One without is not reported."""
        return stage in self._plan

    @property
    def stage(self) -> Stage:
        return self._stage

    @property
    def percentage(self) -> float:
        """Part of the planned work that is done, 0 to 100."""
        return self._percentage

    @property
    def remaining_seconds(self) -> float | None:
        """Estimated time until the run is finished; None before the first step of a long stage."""
        if self._stage is Stage.DONE:
            return 0.0
        if not self._has_pace:
            return None
        fraction, current, later = self._fraction(), self._current_work(), self._later_work()
        elapsed, in_stage = self._clock() - self._run_started, self._clock() - self._stage_started
        done = self._done_work() - current * self._fraction_at_start
        if done <= 0 or elapsed <= 0:
            return None
        seconds_per_unit = elapsed / done
        own_fraction = fraction - self._fraction_at_start
        if own_fraction > 0:
            stage_seconds = in_stage / own_fraction * (1 - fraction)
            # The pace of the loading says nothing about passes of the U-Net. Once the heaviest stage runs, its pace is
            # the best estimate for the others.
            is_best = current > 0 and (current > later or self._stage in _PACED)
            seconds_per_unit = in_stage / (current * own_fraction) if is_best else seconds_per_unit
        else:
            stage_seconds = current * (1 - fraction) * seconds_per_unit
        return stage_seconds + later * seconds_per_unit

    def weigh(self, stage: Stage, fraction: Callable[[int, float], float]) -> None:
        """Set how much of a stage is done after a step, given the work since then. By default, steps are equal."""
        self._fractions[stage] = fraction

    def enter(self, stage: Stage, total: int = 0, done: int = 0) -> None:
        """Begin a stage of `total` steps, 0 for a stage without steps. An earlier run may have `done` some of them."""
        log.info("%s", stage)
        if stage is not self._stage:
            self._remaining_plan.pop(self._stage, None)
        self._stage, self._step, self._total = stage, done, total
        self._between = 0.0
        self._fraction_at_start = self._fraction()
        self._stage_started, self._metrics = self._clock(), {}
        self._update_percentage()
        self._send()

    def step(self, step: int, total: int | None = None, **metrics: float) -> None:
        """Step number `step` (from 1) is done. `total` replaces the stage's number of steps, where it was not known."""
        self._step, self._total = step, self._total if total is None else total
        self._metrics, self._between = metrics, 0.0
        self._update_percentage()
        self._has_pace = self._has_pace or self._stage in _PACED
        if self._stage in _WORK:
            self.start.end_first_step()
        due = self._clock() - self._sent_at >= MIN_INTERVAL_SECONDS
        if due or step <= 1 or step >= self._total:
            self._send()

    def announce(self, files: Sequence[str] = (), metrics: Mapping[str, float] | None = None) -> None:
        """Send at once, between two steps: files that can be read now, by their path below the run's prefix, and
        metrics beside those of the newest step. More than `MAX_FILES` files become several events."""
        self._metrics = {**self._metrics, **(metrics or {})}
        for first in range(0, max(len(files), 1), MAX_FILES):
            self._send(tuple(files[first : first + MAX_FILES]))

    def finish_image(self, image: FinishedImage, file: str) -> None:
        """Announce an image of a generation that is in storage, as `announce` does. All later events list it, too."""
        self._finished_images = (*self._finished_images, image)
        self.announce([file])

    def preview(self, seed: int, step: int, jpeg: str) -> None:
        """Send a preview of an image, a JPEG in base64 after `step` steps, at most once per interval."""
        if self._clock() - self._preview_sent_at >= MIN_INTERVAL_SECONDS:
            self._preview_sent_at = self._clock()
            self._send(preview=Preview(seed=seed, step=step, jpeg=jpeg))

    def keep_alive(self, between: float = 0.0) -> None:
        """Report `between`, the work since the newest step, at most once per interval."""
        self._between = between
        self._update_percentage()
        if self._clock() - self._sent_at >= MIN_INTERVAL_SECONDS:
            self._send()

    def part_step(self, part: int, parts: int, step: int, total: int) -> None:
        """Step `step` of `total` within part number `part` (from 0) of a stage with `parts` equal parts is done."""
        self.step(part * total + step, parts * total)

    def _fraction(self) -> float:
        if self._stage in self._fractions:
            return min(self._fractions[self._stage](self._step, self._between), 1.0)
        return min(self._step / self._total, 1.0) if self._total else 0.0

    def _current_work(self) -> float:
        return self._remaining_plan.get(self._stage, 0.0)

    def _later_work(self) -> float:
        return sum(self._remaining_plan.values()) - self._current_work()

    def _done_work(self) -> float:
        return sum(self._plan.values()) - self._later_work() - self._current_work() * (1 - self._fraction())

    def _update_percentage(self) -> None:
        done = 100.0 if self._stage is Stage.DONE else 100.0 * self._done_work() / sum(self._plan.values())
        self._percentage = max(self._percentage, done)

    def _send(self, files: tuple[str, ...] = (), preview: Preview | None = None) -> None:
        remaining = self.remaining_seconds
        event = ProgressEvent(
            attempt=self._attempt,
            stage=self._stage,
            step=self._step,
            total=self._total,
            progress_percentage=round(self._percentage, 2),
            estimated_remaining_seconds=None if remaining is None else round(remaining, 1),
            metrics=self._metrics,
            files=files,
            finished_images=self._finished_images,
            preview=preview,
            time=datetime.now(UTC),
        )
        self._sent_at = self._clock()
        self._sender.send(event)


def open_progress(
    document: RunDocument, plan: Plan, redis_url: str | None, start: StartClock | None = None
) -> ProgressTracker:
    """The tracker of a run; its events go to the job's Redis stream, or nowhere without a Redis URL."""
    sender = RedisSender(redis_url, stream_name(document.uid)) if redis_url else NullSender()
    return ProgressTracker(document.attempt, plan, sender, start=start)
