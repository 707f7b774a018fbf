"""What statuses, metrics, Events and deadlines say about runs in pods that outlive them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_pod, holding, in_phase, running, success

from darkroom_contract.event_reasons import EventReason
from darkroom_contract.handover import run_key
from darkroom_contract.outcome import Reason
from darkroom_contract.status import ConditionType, Phase, RunStart
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.stops import active_deadline
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find
from darkroom_operator.status.run_ends import end_of_run
from darkroom_operator.telemetry.job_events import events_of_change

JOB = a_job("job", active_deadline_seconds=60)
FIRST = replace(running(a_pod(JOB), seconds=500), template="t")
LATER = replace(FIRST, acknowledged=run_key("uid-earlier", 1), given_run=run_key(JOB.uid, 1))
BEGUN = NOW - timedelta(seconds=7)
HELD = holding(JOB, LATER, phase=Phase.RUNNING, run_start_time=BEGUN)


@pytest.mark.parametrize(
    ("pod", "start", "message"),
    [
        (replace(FIRST, template=""), None, "The pod has been created."),
        (FIRST, RunStart.COLD, "Cold start: the pod has been created."),
        (LATER, RunStart.WARM, "Warm start: the idle pod of an earlier run takes the run over."),
    ],
    ids=["without warm pods", "cold", "warm"],
)
def test_starting_says_how(pod: RunnerPod, start: RunStart | None, message: str) -> None:
    status = transitions.starting(JOB, pod, NOW)
    ready = find(status, ConditionType.POD_READY)
    assert status.run_start is start
    assert ready is not None
    assert (ready.reason, ready.message) == ("Starting", message)


def test_start_that_older_crds_drop_is_no_change() -> None:
    status = transitions.starting(JOB, LATER, NOW)
    stored = replace(JOB, status=status.model_copy(update={"run_start": None}))
    assert not transitions.is_changed(stored, status)


@pytest.mark.parametrize(("pod", "verb"), [(FIRST, "Created pod"), (LATER, "Took over the idle pod")])
def test_event_of_the_admission_says_how(pod: RunnerPod, verb: str) -> None:
    status = transitions.starting(JOB, pod, NOW)
    [admitted] = [each for each in events_of_change(JOB, status) if each.reason == EventReason.ADMITTED]
    assert admitted.note == f"Run 1 holds slot 0. {verb} {FIRST.name}."


def test_run_is_timed_by_its_own_measure_while_its_container_lives_on() -> None:
    for pod in (FIRST, LATER):
        end = end_of_run(HELD, transitions.succeeded(HELD, success(JOB), NOW), pod)
        assert end is not None
        assert (end.result, end.seconds) == ("succeeded", 3.0)


def test_failed_run_of_a_warm_pod_is_timed_from_its_own_start() -> None:
    failed = transitions.run_failed(HELD, Failure(Reason.STORAGE_UNAVAILABLE, "no"), timedelta(0), NOW)
    end = end_of_run(HELD, failed, replace(LATER, finished=NOW))
    assert end is not None
    assert (end.result, end.seconds) == ("retried", 7.0)


def test_missed_hand_over_is_counted_as_a_run_that_is_repeated() -> None:
    missed = transitions.requeued_for_new_pod(HELD, Failure(Reason.INTERRUPTED, "gone", never_began=True), NOW)
    end = end_of_run(HELD, missed, LATER)
    assert end is not None
    assert (end.result, end.reason, end.seconds) == ("retried", "IdlePodGone", None)


def test_active_deadline_counts_from_the_run_and_not_from_its_pod() -> None:
    assert active_deadline(HELD, LATER) == BEGUN + timedelta(seconds=60)


def test_there_is_no_active_deadline_if_older_crds_drop_the_start_of_the_run() -> None:
    """The pod started before the run: a deadline from there would stop the run too early."""
    dropped = in_phase(HELD, Phase.RUNNING, run_start_time=None)
    assert active_deadline(dropped, LATER) is None
    assert active_deadline(dropped, FIRST) is not None
