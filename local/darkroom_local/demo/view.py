"""What a person wants to know of a job at a moment, from its events. Pure; drawn by `display.py`."""

from dataclasses import dataclass, replace

from darkroom_local.demo.events import ServerEvent
from darkroom_local.kube.client import Json

STAGES = {
    "Downloading": "getting its files",
    "LoadingModel": "loading the model",
    "DrawingClassImages": "drawing the class",
    "Encoding": "encoding",
    "Training": "training",
    "Denoising": "drawing",
    "Animating": "animating",
    "Uploading": "uploading",
    "Done": "done",
}
METRICS = {"loss": "loss {:.3f}"}
"""Metrics that are shown while a run goes on."""


@dataclass(frozen=True)
class JobView:
    """One job, as it was told last."""

    phase: str = "Queued"
    attempts: int = 0
    position: int | None = None
    waiting_for: str = ""
    starts_in_seconds: float | None = None
    stage: str = ""
    step: int = 0
    total: int = 0
    percent: float = 0.0
    seconds_left: float | None = None
    metrics: str = ""
    failure: str = ""

    def after(self, event: ServerEvent) -> "JobView":
        """The view once an event was seen."""
        if event.name == "status":
            return self._with_status(event.data)
        if event.name == "progress":
            return self._with_progress(event.data)
        return self

    def _with_status(self, job: Json) -> "JobView":
        queue, failure = job.get("queue") or {}, job.get("failure") or {}
        view = replace(
            self,
            phase=job["phase"],
            attempts=job.get("attempts", 0),
            position=queue.get("position"),
            waiting_for=queue.get("waiting_for") or "",
            starts_in_seconds=queue.get("estimated_start_seconds"),
            failure=f"{failure.get('reason')}: {failure.get('message')}" if failure else "",
        )
        # Live progress is newer than the copy of it in a status, but there may be none.
        return view._with_progress(job["progress"]) if job.get("progress") and not self.stage else view

    def _with_progress(self, progress: Json) -> "JobView":
        metrics = progress.get("metrics") or {}
        return replace(
            self,
            stage=progress["stage"],
            step=progress.get("step", 0),
            total=progress.get("total", 0),
            percent=progress.get("progress_percentage", 0.0),
            seconds_left=progress.get("estimated_remaining_seconds"),
            metrics=", ".join(text.format(metrics[name]) for name, text in METRICS.items() if name in metrics),
        )

    @property
    def milestone(self) -> tuple[object, ...]:
        """What changes when there is something new to tell: phase, place in the queue, stage, quarter of the run."""
        going_on = (self.stage, int(self.percent) // 25) if self.phase == "Running" else ()
        return self.phase, self.attempts, self.position, going_on

    def describe(self) -> str:
        """One line for people."""
        match self.phase:
            case "Queued":
                return self._place_in_queue()
            case "Running":
                return self._work()
            case "Failed":
                return f"failed: {self.failure}"
            case phase:
                return phase.lower()

    def _place_in_queue(self) -> str:
        if self.position is None:
            return "queued"
        parts = [f"queue position {self.position}"]
        if self.starts_in_seconds is not None:
            parts.append(f"starts in {clock(self.starts_in_seconds)}")
        if self.waiting_for:
            parts.append(f"after {self.waiting_for.rpartition('/')[2]}")
        return ", ".join(parts)

    def _work(self) -> str:
        steps = f" {self.step}/{self.total}" if self.total else ""
        left = f"{clock(self.seconds_left)} left" if self.seconds_left is not None else ""
        parts = [f"{STAGES.get(self.stage, self.stage) or 'running'}{steps}", self.metrics, left]
        again = f"run {self.attempts}: " if self.attempts > 1 else ""
        return again + ", ".join(part for part in parts if part)


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
