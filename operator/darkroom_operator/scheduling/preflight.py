"""Jobs that no run could finish: told before they take a slot. Called once a job by `cache.py`; sends nothing.

What is looked at is what the API server's schema can't tell, or what CRDs of an older release don't refuse. The runner
checks all of it again: it has the credentials and the models, and settings may change while a job waits.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from darkroom_contract.base_models import SDXL_PIPELINE, SVD_PIPELINE, unknown_model, unsuitable_model
from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.settings import Settings

LOOK_SECONDS = 1.0
"""The model root may be a network's file system, and everything else that the operator does waits for a look at it."""

WantedModels = Sequence[tuple[str, str]]
"""References to base models, each with the diffusers pipeline that it is wanted for."""


class ModelRoot:
    """The model root of the runners, if the operator sees it. A file system that stands still refuses nothing."""

    def __init__(self, root: Path | None, look_seconds: float = LOOK_SECONDS) -> None:
        self._root = root
        self._look_seconds = look_seconds
        self._last_look: threading.Thread | None = None

    def fault(self, wanted: WantedModels) -> Failure | None:
        """Why no run finds what it wants; None when that isn't known, or not in time."""
        root = self._root
        if root is None or (self._last_look is not None and self._last_look.is_alive()):
            return None
        found: list[Failure | None] = []
        self._last_look = look = threading.Thread(
            target=lambda: found.append(_base_model_fault(root, wanted)), name="model-root", daemon=True
        )
        look.start()
        look.join(self._look_seconds)
        return found[0] if found else None


def preflight_failure(job: Job, settings: Settings, model_root: ModelRoot) -> Failure | None:
    """Why no run of the job can succeed; None when nothing is known to speak against it."""
    return _contradiction(job) or _dataset_fault(job, settings) or model_root.fault(_wanted_models(job, settings))


def _contradiction(job: Job) -> Failure | None:
    """What the CRD refuses, for CRDs of an older release."""
    told = job.spec.contradiction if isinstance(job.spec, GenerateJobSpec) else None
    return None if told is None else Failure(Reason.INVALID_RUN, told)


def _dataset_fault(job: Job, settings: Settings) -> Failure | None:
    if not isinstance(job.spec, TrainJobSpec) or settings.dataset_policy is None:
        return None
    fault = settings.dataset_policy.fault(job.spec.dataset.uri, job.namespace)
    return None if fault is None else Failure(Reason.DATASET_NOT_ALLOWED, fault)


def _wanted_models(job: Job, settings: Settings) -> WantedModels:
    wanted = [(job.spec.base_model or settings.default_base_model, SDXL_PIPELINE)]
    if isinstance(job.spec, GenerateJobSpec) and job.spec.allow_motion:
        wanted.append((job.spec.video.base_model or settings.default_video_base_model, SVD_PIPELINE))
    return wanted


def _base_model_fault(root: Path, wanted: WantedModels) -> Failure | None:
    """What may be on the hub is left to the runner."""
    for name, pipeline in wanted:
        if (unknown := unknown_model(name, root)) is not None:
            return Failure(Reason.BASE_MODEL_NOT_FOUND, unknown)
        if (unsuitable := unsuitable_model(name, root, pipeline)) is not None:
            return Failure(Reason.MODEL_INCOMPATIBLE, unsuitable)
    return None
