"""The patches of a pod that takes over a further run, one for each step of `reconcile/warm_pods.py`. Pure.

Each has the resource version on which it was decided: the API server refuses it if the pod has changed since.
"""

from typing import Any

from darkroom_contract.handover import ANNOTATION_ACKNOWLEDGED, ANNOTATION_RUN, IDLE, LABEL_RUNNER_STATE
from darkroom_contract.jobs import Job
from darkroom_operator.kube.objects import Json
from darkroom_operator.pods.builder import owner_reference, run_document, run_labels
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.settings import Settings


def acknowledgement(pod: RunnerPod) -> Json:
    """The outcome of the pod's run is recorded: it is idle."""
    return _patch(pod, annotations={ANNOTATION_ACKNOWLEDGED: pod.run_key}, labels={LABEL_RUNNER_STATE: IDLE})


def takeover(pod: RunnerPod, job: Job, attempt: int) -> Json:
    """The pod is that of the job's run from now on, and is deleted with the job."""
    labels = {**run_labels(job, attempt), LABEL_RUNNER_STATE: None}
    return _patch(pod, labels=labels, ownerReferences=[owner_reference(job)])


def run_gift(pod: RunnerPod, job: Job, settings: Settings) -> Json:
    """The run document of the pod's run."""
    return _patch(pod, annotations={ANNOTATION_RUN: run_document(job, pod.attempt, settings).to_json()})


def _patch(pod: RunnerPod, **metadata: Any) -> Json:
    return {"metadata": {"uid": pod.uid, "resourceVersion": pod.version, **metadata}}
