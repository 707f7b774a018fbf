"""Preflight checks: jobs that no run could finish fail before they get a slot. `cache/cache.py` checks each job once.

They cover what the API server's schema can't express, or what the CRDs of an older release accept. The runner repeats
all of them: it has the credentials and the models, and settings may change while a job waits.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from darkroom_contract.base_models import SDXL_PIPELINE, SVD_PIPELINE, unknown_model, unsuitable_model
from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.settings import Settings

LOOK_UP_SECONDS = 1.0
"""The limit for a look-up in the model root. It may be a network file system, and the whole operator waits for it."""

WantedModels = Sequence[tuple[str, str]]
"""References to base models, each with the diffusers pipeline that needs it."""


class ModelRoot:
    """The runners' model root, if it is mounted. A file system that hangs rejects no job."""

    def __init__(self, root: Path | None, look_up_seconds: float = LOOK_UP_SECONDS) -> None:
        self._root = root
        self._look_up_seconds = look_up_seconds
        self._last_look_up: threading.Thread | None = None

    def fault(self, wanted: WantedModels) -> Failure | None:
        """Why no run would find the models; None if they exist, or if that can't be determined in time."""
        root = self._root
        if root is None or (self._last_look_up is not None and self._last_look_up.is_alive()):
            return None
        found: list[Failure | None] = []
        self._last_look_up = look_up = threading.Thread(
            target=lambda: found.append(_base_model_fault(root, wanted)), name="model-root", daemon=True
        )
        look_up.start()
        look_up.join(self._look_up_seconds)
        return found[0] if found else None


def preflight_failure(job: Job, settings: Settings, model_root: ModelRoot) -> Failure | None:
    """Why no run of the job can succeed; None if nothing is wrong with it."""
    return (
        _contradiction(job)
        or _dataset_fault(job, settings)
        or _image_fault(job, settings)
        or model_root.fault(_wanted_models(job, settings))
    )


def _contradiction(job: Job) -> Failure | None:
    """Contradictory fields, which the CRDs of an older release accept."""
    contradiction = job.spec.contradiction
    return None if contradiction is None else Failure(Reason.INVALID_RUN, contradiction)


def _dataset_fault(job: Job, settings: Settings) -> Failure | None:
    """A dataset or LoRA file outside of the folders that jobs of the namespace may read."""
    policy = settings.dataset_policy
    if policy is None:
        return None
    faults = [policy.lora_fault(uri, job.namespace) for uri in job.spec.lora_uris]
    if isinstance(job.spec, TrainJobSpec):
        faults += [policy.fault(each.uri, job.namespace) for each in job.spec.datasets.values()]
    first = next(filter(None, faults), None)
    return None if first is None else Failure(Reason.DATASET_NOT_ALLOWED, first)


def _image_fault(job: Job, settings: Settings) -> Failure | None:
    """A start picture or mask that jobs of the namespace may not read. The runner checks whose job made a picture."""
    policy = settings.dataset_policy
    if policy is None or not isinstance(job.spec, GenerateJobSpec):
        return None
    sources = job.spec.image_sources.items()
    faults = (policy.image_fault(source.uri, job.namespace, f"{field}.uri") for field, source in sources)
    first = next(filter(None, faults), None)
    return None if first is None else Failure(Reason.IMAGE_NOT_ALLOWED, first)


def _wanted_models(job: Job, settings: Settings) -> WantedModels:
    wanted = [(job.spec.base_model or settings.default_base_model, SDXL_PIPELINE)]
    if isinstance(job.spec, GenerateJobSpec) and job.spec.allow_motion:
        wanted.append((job.spec.video.base_model or settings.default_video_base_model, SVD_PIPELINE))
    return wanted


def _base_model_fault(root: Path, wanted: WantedModels) -> Failure | None:
    """Models that may be on the Hugging Face Hub are left to the runner."""
    for name, pipeline in wanted:
        if (unknown := unknown_model(name, root, pipeline)) is not None:
            return Failure(Reason.BASE_MODEL_NOT_FOUND, unknown)
        if (unsuitable := unsuitable_model(name, root, pipeline)) is not None:
            return Failure(Reason.MODEL_INCOMPATIBLE, unsuitable)
    return None
