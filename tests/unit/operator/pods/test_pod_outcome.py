"""How the end of a pod is classified."""

from dataclasses import replace

import pytest
from support.operator_snapshots import a_job, a_pod, ended, failure, success

from darkroom_contract.outcome import Outcome, OutcomeFile, Reason
from darkroom_operator.pods.pod_outcome import Failure, classify_pod
from darkroom_operator.pods.runner_pod import RunnerPod

JOB = a_job("a")
POD = a_pod(JOB)


def file(name: str) -> OutcomeFile:
    return OutcomeFile(name=name, content_type="image/png", bytes=1, sha256="0" * 64)


def test_a_run_that_reports_success_has_succeeded() -> None:
    assert classify_pod(ended(POD, success(JOB))) == success(JOB)


def test_a_success_counts_even_if_the_process_was_killed_while_exiting() -> None:
    assert classify_pod(ended(POD, success(JOB), exit_code=137)) == success(JOB)


@pytest.mark.parametrize(
    ("pod", "reason", "message"),
    [
        (None, Reason.POD_LOST, "deleted"),
        (ended(POD, failure(Reason.DATASET_INVALID, "no photos"), 2), Reason.DATASET_INVALID, "no photos"),
        (ended(POD, Outcome(succeeded=False), 1), Reason.INTERNAL_ERROR, ""),
        (replace(ended(POD, None, 137), exit_reason="OOMKilled"), Reason.OUT_OF_MEMORY, "memory"),
        (replace(ended(POD, None, 1), exit_reason="Error"), Reason.POD_FAILED, "exit code 1 (Error)"),
        (
            replace(POD, terminated=True, waiting_reason="Evicted", waiting_message="low"),
            Reason.POD_FAILED,
            "Evicted: low",
        ),
        (replace(POD, terminated=True), Reason.POD_FAILED, "no reason is given"),
        (replace(ended(POD, None, 0), termination_message="Traceback ..."), Reason.POD_FAILED, "exit code 0"),
    ],
)
def test_a_failure_has_its_reason(pod: RunnerPod | None, reason: Reason, message: str) -> None:
    failure_ = classify_pod(pod)
    assert isinstance(failure_, Failure)
    assert failure_.reason is reason
    assert message in failure_.message


TAINTED = "DeletionByTaintManager: Taint manager: deleting due to NoExecute taint"
STOPPED = failure(Reason.INTERRUPTED, "The run was stopped by SIGTERM.")


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        (replace(ended(POD, STOPPED, 143), disruption=TAINTED), TAINTED),
        (replace(ended(POD, None, 137), disruption=TAINTED), TAINTED),
        (
            replace(POD, terminated=True, disruption="Terminated: The node was shutting down."),
            "The node was shutting down.",
        ),
        (ended(POD, STOPPED, 143), "stopped by SIGTERM"),
    ],
    ids=["drained, with an outcome", "killed", "node shut down", "deleted by hand"],
)
def test_an_interruption_from_outside_is_not_a_failure(pod: RunnerPod, message: str) -> None:
    failure_ = classify_pod(pod)
    assert isinstance(failure_, Failure)
    assert (failure_.reason, failure_.interrupted) == (Reason.INTERRUPTED, True)
    assert message in failure_.message
    assert ".." not in failure_.message


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (replace(ended(POD, failure(Reason.OUT_OF_MEMORY), 75), disruption=TAINTED), Reason.OUT_OF_MEMORY),
        (replace(ended(POD, failure(Reason.DATASET_INVALID), 1), disruption=TAINTED), Reason.DATASET_INVALID),
        (replace(ended(POD, None, 137), disruption=TAINTED, exit_reason="OOMKilled"), Reason.OUT_OF_MEMORY),
        (replace(ended(POD, STOPPED, 143), waiting_reason="Evicted"), Reason.POD_FAILED),
    ],
    ids=["out of memory", "bad input", "killed for its memory", "evicted for its own use of storage"],
)
def test_a_run_that_failed_by_itself_was_not_interrupted(pod: RunnerPod, reason: Reason) -> None:
    failure_ = classify_pod(pod)
    assert isinstance(failure_, Failure)
    assert (failure_.reason, failure_.interrupted) == (reason, False)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(succeeded=True, prefix="p/", files=(file("x"),) * 65),
        Outcome(succeeded=True, prefix="p" * 600, files=(file("x"),)),
    ],
    ids=["too many artifacts", "too long a key"],
)
def test_an_outcome_too_large_for_a_status_is_a_failure(outcome: Outcome) -> None:
    pod = replace(ended(POD, success(JOB)), termination_message=outcome.model_dump_json(by_alias=True))
    failure_ = classify_pod(pod)
    assert isinstance(failure_, Failure)
    assert failure_.reason is Reason.INTERNAL_ERROR
