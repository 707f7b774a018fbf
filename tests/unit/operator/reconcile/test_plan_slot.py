"""The steps of a run: assign, create, record, confirm and ungate, with a story for each decision."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.operator_snapshots import (
    NOW,
    a_job,
    a_pod,
    a_slot,
    a_snapshot,
    a_training,
    ended,
    failure,
    holding,
    in_phase,
    retry_wait,
    running,
)
from support.planned_actions import GATED, JOB, OTHER, POD, step, written

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.status import ConditionType, Phase
from darkroom_operator.reconcile.actions import (
    AssignSlot,
    ConfirmPod,
    CreatePod,
    DeletePod,
    UngatePod,
    VerifyHolder,
    VerifyPods,
)
from darkroom_operator.reconcile.plan_slot import plan_slot
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find


class TestStartOfARun:
    def test_a_free_slot_is_assigned_to_the_first_of_the_queue(self) -> None:
        assert step(a_snapshot(JOB, OTHER)) == AssignSlot(a_slot(), JOB)

    def test_a_free_slot_stays_free_when_no_job_waits(self) -> None:
        assert step(a_snapshot()) is None

    def test_the_pod_of_the_holder_is_created(self) -> None:
        assert step(a_snapshot(JOB, slot=a_slot(JOB))) == CreatePod(JOB, 1, 0)

    def test_the_pod_is_recorded_before_it_is_confirmed(self) -> None:
        status = written(a_snapshot(JOB, slot=a_slot(JOB), pods=(GATED,)))
        assert (status.phase, status.attempts, status.pod_uid, status.slot) == (Phase.STARTING, 1, GATED.uid, 0)

    def test_a_recorded_pod_is_confirmed_in_the_lease(self) -> None:
        slot = a_slot(JOB)
        assert step(a_snapshot(holding(JOB, GATED), slot=slot, pods=(GATED,))) == ConfirmPod(slot, GATED)

    def test_a_confirmed_pod_is_ungated(self) -> None:
        assert step(a_snapshot(holding(JOB, GATED), slot=a_slot(JOB, GATED), pods=(GATED,))) == UngatePod(GATED)

    def test_the_run_is_supervised_from_then_on(self) -> None:
        job = holding(JOB, POD)
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(running(POD),)))
        assert status.phase is Phase.RUNNING

    def test_nothing_is_done_while_nothing_changes(self) -> None:
        job, pod = holding(JOB, POD), running(POD)
        job = replace(job, status=transitions.running(job, pod, None, NOW))
        assert step(a_snapshot(job, OTHER, slot=a_slot(JOB, POD), pods=(pod,))) is None

    def test_a_pod_of_an_earlier_run_is_not_taken_for_the_present_one(self) -> None:
        job = in_phase(JOB, Phase.QUEUED, attempts=1, pod_uid=POD.uid)
        assert step(a_snapshot(job, slot=a_slot(JOB), pods=(ended(POD, None, 1),))) == CreatePod(job, 2, 0)

    def test_a_recorded_pod_that_was_never_seen_is_looked_up(self) -> None:
        job = holding(JOB, GATED)
        assert step(a_snapshot(job, slot=a_slot(JOB))) == VerifyPods(0, GATED.uid)

    def test_a_recorded_pod_that_is_deleted_before_it_was_ungated_is_replaced(self) -> None:
        job = holding(JOB, GATED)
        assert step(a_snapshot(job, slot=a_slot(JOB), deleted={GATED.uid})) == CreatePod(job, 2, 0)

    def test_a_holder_that_is_suspended_before_its_pod_was_ungated_hands_the_slot_over(self) -> None:
        job = a_job("job", suspend=True)
        assert step(a_snapshot(job, OTHER, slot=a_slot(JOB), pods=(GATED,))) == AssignSlot(a_slot(JOB), OTHER)

    def test_a_pod_that_can_t_be_created_in_time_counts_as_a_failed_run(self) -> None:
        job = a_job("job", start_deadline_seconds=20)
        refused = replace(job, status=transitions.pod_refused(job, "a webhook says no", NOW - timedelta(seconds=20)))
        status = written(a_snapshot(refused, slot=a_slot(JOB)))
        ready = find(status, ConditionType.POD_READY)
        assert status.failures == 1
        assert ready is not None
        assert ready.reason == Reason.START_DEADLINE_EXCEEDED
        assert "a webhook says no" in ready.message


class TestQuotaExceeded:
    """The API server refuses the pod for now."""

    @staticmethod
    def over_quota(job: Job, minutes_ago: float = 0) -> Job:
        return replace(
            job, status=transitions.quota_exceeded(job, "exceeded quota", NOW - timedelta(minutes=minutes_ago))
        )

    def test_the_pod_is_requested_again_however_long_ago_it_was_first_refused(self) -> None:
        job = self.over_quota(a_job("job", start_deadline_seconds=20), minutes_ago=60)
        assert step(a_snapshot(job, slot=a_slot(JOB))) == CreatePod(job, 1, 0)

    def test_a_refusal_of_another_kind_has_the_whole_start_deadline_from_then_on(self) -> None:
        job = self.over_quota(a_job("job", start_deadline_seconds=20), minutes_ago=60)
        slot = replace(a_slot(JOB), acquired=NOW - timedelta(minutes=61))
        refused = replace(job, status=transitions.pod_refused(job, "a webhook says no", NOW - timedelta(seconds=19)))
        assert step(a_snapshot(refused, slot=slot)) == CreatePod(refused, 1, 0)
        refused = replace(job, status=transitions.pod_refused(job, "a webhook says no", NOW - timedelta(seconds=20)))
        assert written(a_snapshot(refused, slot=slot)).failures == 1

    def test_the_slot_is_handed_over_to_a_job_that_precedes_its_holder(self) -> None:
        slot, first = a_slot(JOB), a_job("first", priority=1)
        assert step(a_snapshot(self.over_quota(JOB), OTHER, first, slot=slot)) == AssignSlot(slot, first)
        assert isinstance(step(a_snapshot(self.over_quota(JOB), OTHER, slot=slot)), CreatePod)

    @pytest.mark.parametrize("change", [{"spec": a_job(suspend=True).spec}, {"deleting": True}])
    def test_the_slot_is_handed_over_when_its_holder_may_not_run(self, change: dict[str, Any]) -> None:
        slot = a_slot(JOB)
        snapshot = a_snapshot(replace(self.over_quota(JOB), **change), OTHER, slot=slot)
        assert step(snapshot) == AssignSlot(slot, OTHER)

    def test_no_other_slot_is_assigned_meanwhile(self) -> None:
        free = Slot(1, "lease-1", "7")
        snapshot = a_snapshot(self.over_quota(JOB), OTHER, slot=a_slot(JOB))
        both = replace(snapshot, slot_count=2, slots={**snapshot.slots, 1: free})
        assert plan_slot(free, both, retry_wait) is None
        assert plan_slot(free, replace(both, jobs={**both.jobs, JOB.uid: JOB}), retry_wait) == AssignSlot(free, OTHER)


class TestForeignGate:
    """Such as Kueue's."""

    KUEUE = replace(POD, foreign_gates=("kueue.x-k8s.io/admission",))

    def test_ours_is_removed_without_waiting_for_it(self) -> None:
        pod = replace(self.KUEUE, gated=True)
        assert step(a_snapshot(holding(JOB, pod), slot=a_slot(JOB, pod), pods=(pod,))) == UngatePod(pod)

    def test_the_status_says_what_the_pod_waits_for(self) -> None:
        ready = find(
            written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), pods=(self.KUEUE,))), ConditionType.POD_READY
        )
        assert ready is not None
        assert "kueue.x-k8s.io/admission" in ready.message

    def test_a_pod_held_back_by_it_alone_keeps_the_slot(self) -> None:
        done = in_phase(JOB, Phase.FAILED, attempts=1)
        slot = a_slot(JOB, POD)
        assert isinstance(step(a_snapshot(done, OTHER, slot=slot, pods=(self.KUEUE,))), DeletePod)


class TestGenerationWithATrainingOfItsModel:
    GENERATION, TRAINING = a_job("generation", model_id="m"), a_training("training")

    def test_it_hands_its_slot_to_a_training_that_was_created_before_its_pod_was_ungated(self) -> None:
        gated = replace(a_pod(self.GENERATION), gated=True)
        slot = a_slot(self.GENERATION)
        assert step(a_snapshot(self.GENERATION, self.TRAINING, slot=slot, pods=(gated,))) == AssignSlot(
            slot, self.TRAINING
        )

    def test_a_model_that_is_missing_while_it_is_trained_is_not_a_failure(self) -> None:
        pod = a_pod(self.GENERATION)
        snapshot = a_snapshot(
            holding(self.GENERATION, pod),
            self.TRAINING,
            slot=a_slot(self.GENERATION, pod),
            pods=(ended(pod, failure(Reason.MODEL_NOT_FOUND, "There is no model 'm'."), 1),),
        )
        status = written(snapshot)
        admitted, ready = find(status, ConditionType.ADMITTED), find(status, ConditionType.POD_READY)
        assert (status.phase, status.failures, status.slot) == (Phase.QUEUED, 0, None)
        assert admitted is not None
        assert ready is not None
        assert admitted.reason == "WaitingForModel"
        assert "TrainJob/training" in admitted.message
        assert ready.reason == "ModelNotFound"

    def test_a_missing_model_without_a_training_is_a_failure(self) -> None:
        pod = a_pod(self.GENERATION)
        ends = (ended(pod, failure(Reason.MODEL_NOT_FOUND), 1),)
        snapshot = a_snapshot(holding(self.GENERATION, pod), slot=a_slot(self.GENERATION, pod), pods=ends)
        assert written(snapshot).phase is Phase.FAILED


class TestDeletedJob:
    def test_a_holder_that_was_never_seen_is_looked_up(self) -> None:
        slot = a_slot(JOB, POD)
        assert step(a_snapshot(OTHER, slot=slot, pods=(running(POD),))) == VerifyHolder(slot)

    def test_its_pod_is_deleted_and_the_slot_kept_until_that_is_gone(self) -> None:
        slot, pod = a_slot(JOB, POD), running(POD)
        assert isinstance(step(a_snapshot(OTHER, slot=slot, pods=(pod,), deleted={JOB.uid})), DeletePod)
        assert step(a_snapshot(OTHER, slot=slot, pods=(replace(pod, deleting=True),), deleted={JOB.uid})) is None
        assert step(a_snapshot(OTHER, slot=slot, deleted={JOB.uid, POD.uid})) == AssignSlot(slot, OTHER)

    def test_a_job_that_is_being_deleted_is_stopped(self) -> None:
        job = holding(replace(JOB, deleting=True), POD)
        assert isinstance(step(a_snapshot(job, slot=a_slot(JOB, POD), pods=(running(POD),))), DeletePod)


class TestDeletedLease:
    def test_the_active_run_gets_its_slot_back(self) -> None:
        pod = running(POD)
        assert step(a_snapshot(holding(JOB, POD), OTHER, pods=(pod,))) == AssignSlot(a_slot(), holding(JOB, POD))

    def test_it_is_confirmed_without_a_second_pod(self) -> None:
        slot, pod = a_slot(JOB), running(POD)
        assert step(a_snapshot(holding(JOB, POD), OTHER, slot=slot, pods=(pod,))) == ConfirmPod(slot, pod)

    def test_a_pod_whose_run_is_recorded_as_ended_is_deleted_before_the_slot_is_assigned(self) -> None:
        done = in_phase(JOB, Phase.FAILED, attempts=1)
        assert isinstance(step(a_snapshot(done, OTHER, pods=(running(POD),))), DeletePod)


def test_a_slot_beyond_the_configured_number_is_not_assigned_again() -> None:
    done = in_phase(JOB, Phase.SUCCEEDED, attempts=1)
    slot = a_slot(JOB, POD, number=1)
    snapshot = a_snapshot(done, OTHER, slot=slot, pods=(replace(ended(POD, None), slot=1),))
    assert plan_slot(slot, snapshot, retry_wait) == AssignSlot(slot, None)


def test_the_start_deadline_counts_from_the_creation_of_the_pod() -> None:
    job = holding(a_job("job", start_deadline_seconds=40), POD)
    young = replace(POD, created=NOW - timedelta(seconds=39))
    assert not isinstance(step(a_snapshot(job, slot=a_slot(JOB, POD), pods=(young,))), DeletePod)
    status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(young,)))
    assert status.phase is Phase.STARTING
