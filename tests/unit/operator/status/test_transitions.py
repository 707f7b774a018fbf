"""The status after each transition. Each is validated by the CRD's schema: a status that it rejects would never be
written, and the slot never released."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.operator_snapshots import (
    NOW,
    a_job,
    a_pod,
    a_progress_event,
    a_training,
    holding,
    in_phase,
    running,
    success,
)
from support.status_schema import faults, require_valid

from darkroom_contract.jobs import Job, read_job
from darkroom_contract.outcome import Outcome, OutcomeFile, Reason
from darkroom_contract.progress import FinishedImage
from darkroom_contract.remarks import MAX_REMARK_CHARACTERS, Remark, RemarkReason
from darkroom_contract.specs.images import Images
from darkroom_contract.status import ConditionStatus, ConditionType, JobStatus, Phase
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.scheduling.queue_position import QueuePosition
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find
from darkroom_operator.status.progress import MAX_COUNT

JOB = a_job("a")
POD = a_pod(JOB)
HELD = holding(JOB, POD)
LONG = Failure(Reason.POD_FAILED, "m" * 5000)
WAIT = timedelta(seconds=10)


def status_of(status: JobStatus, kind: ConditionType) -> ConditionStatus | None:
    found = find(status, kind)
    return None if found is None else found.status


def reason_of(status: JobStatus, kind: ConditionType) -> str | None:
    found = find(status, kind)
    return None if found is None else found.reason


def remarked(count: int) -> Outcome:
    remark = Remark(reason=RemarkReason.PROMPT_TRUNCATED, message="m" * MAX_REMARK_CHARACTERS)
    return success(JOB).model_copy(update={"remarks": (remark,) * count})


def as_document(job: Job) -> dict[str, Any]:
    metadata = {
        "name": job.name,
        "namespace": job.namespace,
        "uid": job.uid,
        "resourceVersion": job.resource_version,
        "creationTimestamp": job.created.isoformat(),
    }
    return {"kind": job.kind.value, "metadata": metadata, "spec": job.spec.to_dict(), "status": job.status.to_dict()}


TRANSITIONS: dict[str, Callable[[], JobStatus]] = {
    "queued": lambda: transitions.waiting(JOB, QueuePosition(JOB, 3, "GenerateJob/" + "n" * 48, NOW), NOW),
    "queued far behind": lambda: transitions.waiting(JOB, QueuePosition(JOB, 9999, estimated_start=NOW + WAIT), NOW),
    "queued for a free slot": lambda: transitions.waiting(JOB, QueuePosition(JOB, 0), NOW),
    "backing off": lambda: transitions.waiting(in_phase(JOB, Phase.QUEUED, next_attempt_time=NOW + WAIT), None, NOW),
    "suspended from the start": lambda: transitions.waiting(a_job("a", suspend=True), None, NOW),
    "starting": lambda: transitions.starting(JOB, POD, NOW + timedelta(microseconds=7)),
    "refused": lambda: transitions.pod_refused(JOB, "r" * 5000, NOW),
    "over the quota": lambda: transitions.quota_exceeded(HELD, "q" * 5000, NOW),
    "gated by others": lambda: transitions.running(HELD, replace(POD, foreign_gates=("g" * 300,) * 9), None, NOW),
    "unschedulable": lambda: transitions.running(HELD, replace(POD, waiting_message="w" * 5000), None, NOW),
    "running": lambda: transitions.running(HELD, running(POD), a_progress_event(metrics={"loss": 0.1}), NOW),
    "on a lost node": lambda: transitions.running(HELD, replace(running(POD), node_lost=True), None, NOW),
    "refused by a policy again": lambda: transitions.pod_refused(HELD, "r" * 5000, NOW),
    "waiting for a model": lambda: transitions.requeued_for_model(HELD, LONG, "TrainJob/" + "n" * 48, NOW),
    "back to waiting for a model": lambda: transitions.requeued_for_model(HELD, LONG, "TrainJob/" + "n" * 48, NOW),
    "interrupted": lambda: transitions.run_interrupted(HELD, LONG, WAIT, NOW),
    "finished and changed": lambda: transitions.generation_observed(
        replace(JOB, status=transitions.succeeded(HELD, success(JOB), NOW)), NOW
    ),
    "succeeded with remarks": lambda: transitions.succeeded(HELD, remarked(40), NOW),
    "its pod on a lost node": lambda: transitions.node_lost(
        replace(HELD, status=transitions.pod_refused(HELD, "r" * 5000, NOW)), NOW
    ),
    "stopping": lambda: transitions.stopping(HELD, "Suspended", "s" * 5000, POD, NOW),
    "succeeded": lambda: transitions.succeeded(HELD, success(JOB), NOW),
    "failed for good": lambda: transitions.failed(HELD, LONG, NOW),
    "failed once": lambda: transitions.run_failed(HELD, LONG, WAIT, NOW + timedelta(microseconds=7)),
    "failed too often": lambda: transitions.run_failed(in_phase(HELD, Phase.RUNNING, failures=2), LONG, WAIT, NOW),
    "suspended while it ran": lambda: transitions.run_suspended(holding(a_job("a", suspend=True), POD), LONG, NOW),
}


@pytest.mark.parametrize("name", TRANSITIONS)
def test_every_status_is_valid_and_is_read_back_unchanged(name: str) -> None:
    require_valid(TRANSITIONS[name]())


@pytest.mark.parametrize("name", TRANSITIONS)
def test_every_status_observes_the_generation(name: str) -> None:
    assert TRANSITIONS[name]().observed_generation == JOB.generation


class TestWaiting:
    def test_it_shows_the_position_the_holder_and_the_estimated_start(self) -> None:
        status = transitions.waiting(JOB, QueuePosition(JOB, 2, "TrainJob/t", NOW + WAIT), NOW)
        admitted = find(status, ConditionType.ADMITTED)
        assert status.queue is not None
        assert (status.phase, status.queue.position, status.queue.waiting_for) == (Phase.QUEUED, 2, "TrainJob/t")
        assert status.queue.estimated_start_time == NOW + WAIT
        assert admitted is not None
        assert admitted.message == "Position 2 in the queue; TrainJob/t holds the slot."

    def test_a_position_far_behind_is_marked_as_approximate(self) -> None:
        admitted = find(transitions.waiting(JOB, QueuePosition(JOB, 4711), NOW), ConditionType.ADMITTED)
        assert admitted is not None
        assert admitted.message == "Position about 4711 in the queue."

    def test_a_resumed_job_is_marked_as_not_suspended(self) -> None:
        suspended = transitions.waiting(a_job("a", suspend=True), None, NOW)
        resumed = transitions.waiting(replace(JOB, status=suspended), QueuePosition(JOB, 0), NOW)
        assert reason_of(resumed, ConditionType.SUSPENDED) == "Resumed"
        assert status_of(resumed, ConditionType.SUSPENDED) is ConditionStatus.FALSE

    def test_it_changes_nothing_a_second_time(self) -> None:
        status = transitions.waiting(JOB, QueuePosition(JOB, 2), NOW)
        assert transitions.waiting(replace(JOB, status=status), QueuePosition(JOB, 2), NOW + WAIT) == status

    def test_a_generation_names_the_training_that_it_waits_for(self) -> None:
        generation = a_job("a", model_id="m")
        queued = transitions.waiting(generation, QueuePosition(generation, 3, training="TrainJob/t"), NOW)
        requeued = transitions.requeued_for_model(generation, LONG, "TrainJob/t", NOW)
        for status in (queued, requeued):
            assert reason_of(status, ConditionType.ADMITTED) == "WaitingForModel"
            admitted = find(status, ConditionType.ADMITTED)
            assert admitted is not None
            assert admitted.message.endswith("Waiting for TrainJob/t, which trains the model m.")
        assert queued.queue is not None
        assert queued.queue.position == 3

    def test_a_suspended_job_says_that_its_run_has_stopped(self) -> None:
        held = holding(a_job("a", suspend=True), POD)
        stopping = replace(held, status=transitions.stopping(held, "Suspended", "It is being stopped.", POD, NOW))
        ready = find(transitions.run_suspended(stopping, LONG, NOW), ConditionType.POD_READY)
        assert ready is not None
        assert (ready.status, ready.reason, ready.message) == (
            ConditionStatus.FALSE,
            "Suspended",
            "The run has stopped.",
        )

    def test_a_job_that_was_resumed_while_its_run_stopped_says_so_too(self) -> None:
        held = holding(a_job("a"), POD)
        stopping = replace(held, status=transitions.stopping(held, "Suspended", "It is being stopped.", POD, NOW))
        ready = find(transitions.run_suspended(stopping, LONG, NOW), ConditionType.POD_READY)
        assert ready is not None
        assert ready.message == "The run has stopped."

    def test_a_suspended_training_keeps_its_saved_step(self) -> None:
        assert transitions.run_suspended(HELD, replace(LONG, saved_step=10**30), NOW).saved_step == MAX_COUNT
        assert transitions.run_suspended(holding(JOB, POD, saved_step=7), LONG, NOW).saved_step == 7


class TestIsChanged:
    """CRDs of an older release drop unknown fields: writing them again would never end."""

    def test_fields_that_older_crds_drop_are_no_change(self) -> None:
        status = transitions.running(HELD, running(POD), None, NOW)
        dropped = status.model_copy(update={"admission_order": None, "run_start_time": None})
        known = replace(HELD, status=dropped)
        assert not transitions.is_changed(known, transitions.running(known, running(POD), None, NOW + WAIT))
        assert transitions.is_changed(known, transitions.running(known, replace(running(POD), ready=False), None, NOW))

    def test_finished_images_are_a_change_unless_the_crds_drop_them(self) -> None:
        before = replace(HELD, status=transitions.running(HELD, running(POD), a_progress_event(), NOW))
        image = FinishedImage(seed=0, bytes=3, sha256="0" * 64)
        after = transitions.running(before, running(POD), a_progress_event(finished_images=(image,)), NOW)
        assert transitions.is_changed(before, after)
        older = replace(before, status=before.status.model_copy(update={"run_start_time": None}))
        assert not transitions.is_changed(older, after)

    def test_a_status_from_before_the_admission_order_existed_is_not_rewritten(self) -> None:
        status = transitions.waiting(a_job("a", suspend=True), None, NOW).model_copy(update={"admission_order": None})
        job = replace(a_job("a", suspend=True), status=status)
        assert not transitions.is_changed(job, transitions.waiting(job, None, NOW + WAIT))


def test_a_job_whose_first_pod_is_refused_is_queued_with_the_reason() -> None:
    status = require_valid(transitions.pod_refused(JOB, "denied by a policy", NOW))
    assert status.phase is Phase.QUEUED
    for kind in (ConditionType.ADMITTED, ConditionType.POD_READY):
        assert reason_of(status, kind) == "PodRefused"


@pytest.mark.parametrize("name", TRANSITIONS)
def test_every_condition_observes_the_generation_of_the_status(name: str) -> None:
    assert {each.observed_generation for each in TRANSITIONS[name]().conditions} == {JOB.generation}


def test_an_older_condition_observes_a_newer_generation_too() -> None:
    changed = replace(HELD, status=transitions.running(HELD, running(POD), None, NOW), generation=5)
    changed = replace(changed, status=transitions.stopping(changed, "Suspended", "It is being stopped.", POD, NOW))
    assert {each.observed_generation for each in changed.status.conditions} == {5}


def test_remarks_of_a_run_that_failed_for_good_are_kept() -> None:
    remarks = remarked(2).remarks
    assert transitions.failed(HELD, replace(LONG, remarks=remarks), NOW).remarks == remarks
    assert transitions.failed(HELD, LONG, NOW).remarks is None


def test_the_order_of_admission_is_recorded_and_stays() -> None:
    first = replace(JOB, order=41)
    status = transitions.waiting(first, QueuePosition(first, 0), NOW)
    assert status.admission_order == 41
    assert read_job(as_document(replace(first, status=status, resource_version="99"))).order == 41


class TestEnd:
    def test_success_has_artifacts_and_finite_metrics(self) -> None:
        file = OutcomeFile(name="x.png", content_type="image/png", bytes=1, sha256="0" * 64)
        metrics = {"loss": math.nan, "seconds": 2.0}
        outcome = Outcome(succeeded=True, prefix="p/", files=(file,), metrics=metrics)
        status = require_valid(transitions.succeeded(HELD, outcome, NOW))
        assert status.progress is not None
        assert status.progress.metrics == {"seconds": 2.0}
        assert status_of(status, ConditionType.COMPLETE) is ConditionStatus.TRUE
        assert (status.slot, status.completion_time) == (None, NOW)

    @pytest.mark.parametrize(
        ("job", "steps"),
        [(HELD, 30), (a_training(maxSteps=70), 70), (a_job(images=Images(count=3, steps=20)), 60)],
    )
    def test_success_counts_all_steps_and_says_how_many_files_it_made(self, job: Job, steps: int) -> None:
        status = require_valid(transitions.succeeded(job, success(job), NOW))
        assert status.progress is not None
        assert (status.progress.step, status.progress.total, status.progress.progress_percentage) == (steps, steps, 100)
        complete = find(status, ConditionType.COMPLETE)
        assert complete is not None
        assert complete.message == f"The run succeeded with {len(success(job).files)} file."

    def test_a_failed_run_waits_until_the_next_whole_second(self) -> None:
        status = transitions.run_failed(HELD, LONG, timedelta(seconds=0.2), NOW + timedelta(milliseconds=100))
        assert status.next_attempt_time == NOW + timedelta(seconds=1)

    def test_a_job_that_never_had_a_pod_has_no_condition_for_it(self) -> None:
        assert find(transitions.failed(JOB, LONG, NOW), ConditionType.POD_READY) is None

    def test_the_first_start_time_stays(self) -> None:
        first = replace(JOB, status=transitions.starting(JOB, POD, NOW))
        assert transitions.starting(first, a_pod(JOB, 2), NOW + WAIT).start_time == NOW


def test_the_schema_rejects_invalid_statuses() -> None:
    assert faults({"phase": "Dancing"})
    assert faults({"unknown": 1})
