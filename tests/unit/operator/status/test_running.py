"""The status of a job while its pod starts and runs."""

import math
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_pod, a_progress_event, holding, running
from support.status_schema import require_valid

from darkroom_contract.progress import FinishedImage, ProgressEvent
from darkroom_contract.specs.images import MAX_IMAGES
from darkroom_contract.status import ConditionStatus, ConditionType, JobStatus
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find
from darkroom_operator.status.pod_condition import DELETION_OVERDUE

JOB = a_job("a")
POD = a_pod(JOB)
HELD = holding(JOB, POD)
WAIT = timedelta(seconds=10)


def pod_ready_reason(status: JobStatus) -> str | None:
    found = find(status, ConditionType.POD_READY)
    return None if found is None else found.reason


def test_it_has_the_time_when_the_run_was_first_seen() -> None:
    """By the operator's clock, which is the API server's, and not by the node's."""
    far_off = replace(running(POD), started=NOW + timedelta(minutes=15))
    first = transitions.running(HELD, far_off, None, NOW)
    assert first.run_start_time == NOW
    assert transitions.running(replace(HELD, status=first), far_off, None, NOW + WAIT).run_start_time == NOW
    again = transitions.starting(replace(HELD, status=first), a_pod(JOB, 2), NOW + WAIT)
    assert again.run_start_time is None


def test_an_unreachable_node_is_reported_with_advice() -> None:
    for lost in (
        replace(running(POD), node_lost=True, node="gpu-7"),
        replace(running(POD), deleting=True, node="gpu-7", deletion_deadline=NOW - DELETION_OVERDUE),
    ):
        found = find(transitions.running(HELD, lost, None, NOW), ConditionType.POD_READY)
        assert found is not None
        assert (found.status, found.reason) == (ConditionStatus.UNKNOWN, "NodeLost")
        assert "kubectl delete node gpu-7" in found.message
        assert f"kubectl delete pod {POD.name} --force" in found.message


def test_a_deletion_within_its_grace_period_is_not_overdue() -> None:
    ending = replace(running(POD), deleting=True, node="gpu-7", deletion_deadline=NOW - WAIT)
    assert pod_ready_reason(transitions.running(HELD, ending, None, NOW)) == "Terminating"


@pytest.mark.parametrize(
    ("pod", "status", "reason"),
    [
        (POD, ConditionStatus.FALSE, "Starting"),
        (running(POD), ConditionStatus.TRUE, "Running"),
        (replace(running(POD), ready=False), ConditionStatus.FALSE, "Running"),
        (replace(running(POD), deleting=True), ConditionStatus.FALSE, "Terminating"),
        (replace(running(POD), node_lost=True, deleting=True), ConditionStatus.UNKNOWN, "NodeLost"),
    ],
)
def test_the_pod_is_shown_in_a_condition(pod: RunnerPod, status: ConditionStatus, reason: str) -> None:
    found = find(transitions.running(HELD, pod, None, NOW), ConditionType.POD_READY)
    assert found is not None
    assert (found.status, found.reason) == (status, reason)


def test_progress_of_an_earlier_run_is_not_shown() -> None:
    second = holding(JOB, a_pod(JOB, 2))
    assert transitions.running(second, running(a_pod(JOB, 2)), a_progress_event(attempt=1), NOW).progress is None


IMAGES = tuple(FinishedImage(seed=seed, bytes=3, sha256="0" * 64) for seed in range(MAX_IMAGES))


def test_finished_images_of_the_current_run_are_in_the_status() -> None:
    status = transitions.running(HELD, running(POD), a_progress_event(finished_images=IMAGES), NOW)
    require_valid(status)
    assert status.progress is not None
    assert status.progress.finished_images == IMAGES
    assert status.artifacts is None
    again = transitions.starting(replace(HELD, status=status), a_pod(JOB, 2), NOW + WAIT)
    assert again.progress is None


def test_progress_without_finished_images_has_no_such_field() -> None:
    status = transitions.running(HELD, running(POD), a_progress_event(), NOW)
    assert "finishedImages" not in status.to_dict()["progress"]


def test_progress_stays_when_redis_has_none() -> None:
    shown = transitions.running(HELD, running(POD), a_progress_event(), NOW)
    later = transitions.running(replace(HELD, status=shown), running(POD), None, NOW)
    assert later.progress == shown.progress


@pytest.mark.parametrize(
    "event",
    [
        a_progress_event(metrics={"loss": math.nan, "learningRate": math.inf}),
        a_progress_event(metrics={f"m{number}": 1.0 for number in range(100)}),
        a_progress_event(estimated_remaining_seconds=math.inf),
        a_progress_event(step=10**30, total=10**30),
        a_progress_event(time=datetime(2026, 11, 25)),  # noqa: DTZ001 (a runner may forget the zone)
    ],
    ids=["no numbers", "too many", "endless", "too large", "no zone"],
)
def test_anything_that_a_runner_reports_makes_a_valid_status(event: ProgressEvent) -> None:
    require_valid(transitions.running(HELD, running(POD), event, NOW))
