"""Jobs that no run could finish: told before they take a slot. Called once a job by `cache.py`; sends nothing.

What is looked at is what the API server's schema can't tell, or what CRDs of an older release don't refuse. The runner
checks all of it again: it has the credentials and the models, and settings may change while a job waits.
"""

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.specs import TrainJobSpec
from darkroom_operator.settings import Settings
from darkroom_operator.verdict import Failure


def refusal(job: Job, settings: Settings) -> Failure | None:
    """Why no run of the job can succeed; None when nothing is known to speak against it."""
    return _dataset_fault(job, settings)


def _dataset_fault(job: Job, settings: Settings) -> Failure | None:
    if not isinstance(job.spec, TrainJobSpec) or settings.dataset_policy is None:
        return None
    fault = settings.dataset_policy.fault(job.spec.dataset.uri, job.namespace)
    return None if fault is None else Failure(Reason.DATASET_NOT_ALLOWED, fault)
