"""Builds snapshots for the operator's pure functions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind, pod_name
from darkroom_contract.outcome import Outcome, OutcomeFile, Reason
from darkroom_contract.progress import ProgressEvent, Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.status import JobStatus, Phase
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.queue import PendingQueue
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
RETRY_WAIT = timedelta(seconds=10)


def retry_wait(failures: int) -> timedelta:
    return RETRY_WAIT * failures


def a_job(name: str = "a", *, status: JobStatus | None = None, deleting: bool = False, **spec: Any) -> Job:
    return Job(
        kind=Kind.GENERATE,
        namespace="default",
        name=name,
        uid=f"uid-{name}",
        resource_version="1",
        generation=1,
        created=NOW - timedelta(minutes=5),
        order=1,
        deleting=deleting,
        labels={},
        spec=GenerateJobSpec(**{"prompt": "a red circle", **spec}),
        status=status or JobStatus(),
    )


def a_training(name: str = "t", **spec: Any) -> Job:
    document = {"modelId": "m", "prompt": "a sks star", "dataset": {"uri": "s3://darkroom/datasets/x/"}, **spec}
    return replace(a_job(name), kind=Kind.TRAIN, spec=TrainJobSpec.from_dict(document))


def in_phase(job: Job, phase: Phase, **status: Any) -> Job:
    return replace(job, status=job.status.model_copy(update={"phase": phase, **status}))


def holding(job: Job, pod: RunnerPod, **status: Any) -> Job:
    """The job once its pod was recorded."""
    recorded = {"slot": pod.slot, "attempts": pod.attempt, "pod_uid": pod.uid, "pod_name": pod.name}
    return in_phase(job, status.pop("phase", Phase.STARTING), **recorded, **status)


def a_pod(job: Job, attempt: int = 1, **changes: Any) -> RunnerPod:
    """An ungated pod that waits for its node."""
    pod = RunnerPod(
        name=pod_name(job.name, job.uid, attempt),
        uid=f"pod-{job.name}-{attempt}",
        version="1",
        job_uid=job.uid,
        job_kind=job.kind,
        job_name=job.name,
        slot=0,
        attempt=attempt,
        created=NOW - timedelta(seconds=30),
        gated=False,
        foreign_gates=(),
        deleting=False,
        deletion_deadline=None,
        terminated=False,
        run_ended=False,
        sidecar_running=False,
        node_lost=False,
        disruption="",
        node="",
        started=None,
        finished=None,
        ready=False,
        exit_code=None,
        exit_reason="",
        termination_message="",
        waiting_reason="",
        waiting_message="",
    )
    return replace(pod, **changes)


def running(pod: RunnerPod, seconds: float = 10) -> RunnerPod:
    return replace(pod, started=NOW - timedelta(seconds=seconds), ready=True)


def ended(pod: RunnerPod, outcome: Outcome | None, exit_code: int = 0) -> RunnerPod:
    message = "" if outcome is None else outcome.to_message()
    over = {"terminated": True, "run_ended": True, "finished": NOW}
    return replace(running(pod), **over, ready=False, exit_code=exit_code, termination_message=message)


def success(job: Job) -> Outcome:
    file = OutcomeFile(name="image-1.png", content_type="image/png", bytes=3, sha256="0" * 64)
    return Outcome(succeeded=True, prefix=f"runs/{job.uid}/", files=(file,), metrics={"seconds": 3.0})


def failure(reason: Reason, message: str = "it broke") -> Outcome:
    return Outcome(succeeded=False, reason=reason, message=message)


def a_progress_event(**changes: Any) -> ProgressEvent:
    given = {"attempt": 1, "stage": Stage.TRAINING, "step": 3, "total": 10, "progress_percentage": 30.0, "time": NOW}
    return ProgressEvent(**{**given, **changes})


def a_slot(holder: Job | None = None, pod: RunnerPod | None = None, number: int = 0) -> Slot:
    return Slot(
        number=number,
        uid=f"lease-{number}",
        version="7",
        holder=holder.uid if holder else None,
        holder_key=holder.key if holder else None,
        pod_uid=pod.uid if pod else None,
        acquired=NOW - timedelta(seconds=31) if holder else None,
    )


def a_snapshot(*jobs: Job, slot: Slot | None = None, pods: tuple[RunnerPod, ...] = (), **more: Any) -> Snapshot:
    slot = slot or a_slot()
    return Snapshot(
        now=NOW,
        slot_count=1,
        slots={slot.number: slot},
        jobs={job.uid: job for job in jobs},
        pending=PendingQueue(jobs),
        pods={pod.uid: pod for pod in pods},
        **more,
    )
