"""Reported progress as part of a status. Pure; used by `transitions.py`.

A runner may report any number. A status that the API server rejects would never be written, so values are bounded here.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from itertools import islice

from darkroom_contract.progress import ProgressEvent, Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.status import JobStatus, ProgressStatus
from darkroom_operator.kube.objects import aware

MAX_METRICS = 32
MAX_COUNT = 2**31 - 1


def reported_progress(status: JobStatus, event: ProgressEvent | None) -> ProgressStatus | None:
    """The progress by an event of the present run; without one, the progress that the status has."""
    if event is None or event.attempt != status.attempts:
        return status.progress
    remaining = event.estimated_remaining_seconds
    return ProgressStatus(
        stage=event.stage,
        step=min(event.step, MAX_COUNT),
        total=min(event.total, MAX_COUNT),
        progress_percentage=event.progress_percentage,
        estimated_remaining_seconds=remaining if remaining is not None and math.isfinite(remaining) else None,
        metrics=_finite(event.metrics),
        finished_images=event.finished_images or None,
        last_updated_time=aware(event.time).replace(microsecond=0),
    )


def final_progress(spec: TrainJobSpec | GenerateJobSpec, metrics: Mapping[str, float], now: datetime) -> ProgressStatus:
    """The progress of a run that has succeeded: all steps of its training or of its images."""
    steps = spec.max_steps if isinstance(spec, TrainJobSpec) else spec.images.count * spec.images.steps
    return ProgressStatus(
        stage=Stage.DONE,
        step=steps,
        total=steps,
        progress_percentage=100.0,
        estimated_remaining_seconds=0.0,
        metrics=_finite(metrics),
        last_updated_time=now.replace(microsecond=0),
    )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """JSON has neither NaN nor infinity."""
    finite = ((name, value) for name, value in metrics.items() if math.isfinite(value))
    return dict(islice(finite, MAX_METRICS))
