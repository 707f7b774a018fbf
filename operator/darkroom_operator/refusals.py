"""Jobs that no run could finish: told before they take a slot. Called once a job by `cache.py`; sends nothing.

What is looked at is what the API server's schema can't tell, or what CRDs of an older release don't refuse. The runner
checks all of it again: it has the credentials and the models, and settings may change while a job waits.
"""

from darkroom_contract.base_models import SDXL_PIPELINE, SVD_PIPELINE, unknown_model, unsuitable_model
from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec
from darkroom_operator.settings import Settings
from darkroom_operator.verdict import Failure


def refusal(job: Job, settings: Settings) -> Failure | None:
    """Why no run of the job can succeed; None when nothing is known to speak against it."""
    checks = (_contradiction, _dataset_fault, _base_model_fault)
    return next((fault for check in checks if (fault := check(job, settings)) is not None), None)


def _contradiction(job: Job, settings: Settings) -> Failure | None:
    """What the CRD refuses, for CRDs of an older release."""
    told = job.spec.contradiction if isinstance(job.spec, GenerateJobSpec) else None
    return None if told is None else Failure(Reason.INVALID_RUN, told)


def _dataset_fault(job: Job, settings: Settings) -> Failure | None:
    if not isinstance(job.spec, TrainJobSpec) or settings.dataset_policy is None:
        return None
    fault = settings.dataset_policy.fault(job.spec.dataset.uri, job.namespace)
    return None if fault is None else Failure(Reason.DATASET_NOT_ALLOWED, fault)


def _base_model_fault(job: Job, settings: Settings) -> Failure | None:
    """A look into the model root, where the operator sees it; what may be on the hub is left to the runner."""
    root = settings.model_root
    if root is None:
        return None
    wanted = [(job.spec.base_model or settings.default_base_model, SDXL_PIPELINE)]
    if isinstance(job.spec, GenerateJobSpec) and job.spec.allow_motion:
        wanted.append((job.spec.video.base_model or settings.default_video_base_model, SVD_PIPELINE))
    for name, pipeline in wanted:
        if (unknown := unknown_model(name, root)) is not None:
            return Failure(Reason.BASE_MODEL_NOT_FOUND, unknown)
        if (unsuitable := unsuitable_model(name, root, pipeline)) is not None:
            return Failure(Reason.MODEL_INCOMPATIBLE, unsuitable)
    return None
