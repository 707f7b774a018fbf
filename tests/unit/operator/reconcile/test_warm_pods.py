"""Warm hand-over, decision by decision: acknowledge, assign, take over, record, confirm, and give the run document."""

from dataclasses import replace
from typing import Any

import pytest
from support.operator_snapshots import (
    a_job,
    a_pod,
    a_slot,
    a_snapshot,
    ended,
    holding,
    in_phase,
    running,
    success,
)
from support.planned_actions import JOB, OTHER, POD, step, written

from darkroom_contract.handover import SignedOutcome, run_key
from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Outcome
from darkroom_contract.status import ConditionType, Phase, RunStart
from darkroom_operator.pods.runner_pod import UNSCHEDULABLE, RunnerPod
from darkroom_operator.reconcile.actions import (
    AcknowledgeRun,
    AssignSlot,
    ConfirmPod,
    CreatePod,
    DeletePod,
    GiveRun,
    TakeOverPod,
    VerifyJob,
    VerifyPods,
)
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status.conditions import find

KEY, TEMPLATE = "0f" * 32, "template-1"
RUNNING = replace(running(POD), template=TEMPLATE, outcome_key=KEY, node="here")
IDLE = replace(RUNNING, acknowledged=run_key(JOB.uid, 1))
DONE = in_phase(holding(JOB, POD), Phase.SUCCEEDED, slot=None)
TAKEN = replace(IDLE, job_uid=OTHER.uid, job_name=OTHER.name)
"""By the other job, which does not have its run document yet."""
GIVEN = replace(TAKEN, given_run=TAKEN.run_key)


def warm(*jobs: Job, slot: Slot, pods: tuple[RunnerPod, ...], **more: Any) -> Snapshot:
    return a_snapshot(*jobs, slot=slot, pods=pods, **{"template": TEMPLATE, **more})


def idle_slot(holder: Job | None = None, pod: RunnerPod = IDLE) -> Slot:
    return replace(a_slot(holder), idle_pod_uid=pod.uid, pod_name=pod.name)


def reported(job: Job = JOB, pod: RunnerPod = RUNNING, attempt: int = 1) -> dict[str, SignedOutcome]:
    return {pod.uid: SignedOutcome.sign(job.uid, attempt, success(job), KEY)}


class TestReportedOutcome:
    JOB = holding(JOB, POD, phase=Phase.RUNNING)
    SLOT = a_slot(JOB, POD)

    def test_success_is_recorded_while_the_process_waits(self) -> None:
        status = written(warm(self.JOB, slot=self.SLOT, pods=(RUNNING,), outcomes=reported()))
        assert status.phase is Phase.SUCCEEDED
        assert [each.key for each in status.artifacts or ()] == ["runs/uid-job/image-1.png"]

    @pytest.mark.parametrize(
        "outcomes",
        [reported(attempt=2), reported(OTHER), {"another pod": reported()[RUNNING.uid]}],
        ids=["another attempt", "another job", "another pod"],
    )
    def test_outcome_of_another_run_does_not_end_the_run(self, outcomes: dict[str, SignedOutcome]) -> None:
        assert written(warm(self.JOB, slot=self.SLOT, pods=(RUNNING,), outcomes=outcomes)).phase is Phase.RUNNING

    def test_success_counts_although_the_run_was_being_stopped(self) -> None:
        job = replace(self.JOB, spec=a_job(suspend=True).spec)
        assert written(warm(job, slot=self.SLOT, pods=(RUNNING,), outcomes=reported())).phase is Phase.SUCCEEDED


class TestIdlePod:
    def test_recorded_outcome_is_acknowledged(self) -> None:
        assert step(warm(DONE, OTHER, slot=a_slot(JOB, POD), pods=(RUNNING,))) == AcknowledgeRun(RUNNING)

    def test_slot_is_assigned_to_the_next_job_with_the_idle_pod(self) -> None:
        slot = a_slot(JOB, POD)
        assert step(warm(DONE, OTHER, slot=slot, pods=(IDLE,))) == AssignSlot(slot, OTHER, IDLE)

    def test_slot_is_freed_with_the_idle_pod_when_no_job_waits(self) -> None:
        slot = a_slot(JOB, POD)
        assert step(warm(DONE, slot=slot, pods=(IDLE,))) == AssignSlot(slot, None, IDLE)
        assert step(warm(DONE, slot=idle_slot(), pods=(IDLE,))) is None

    def test_idle_pod_waits_for_the_next_job(self) -> None:
        assert step(warm(DONE, OTHER, slot=idle_slot(), pods=(IDLE,))) == AssignSlot(idle_slot(), OTHER, IDLE)

    @pytest.mark.parametrize("end", [ended(IDLE, None), None], ids=["ended", "gone"])
    def test_slot_without_its_idle_pod_is_free(self, end: RunnerPod | None) -> None:
        pods, deleted = ((end,), set()) if end is not None else ((), {IDLE.uid})
        assert step(warm(DONE, slot=idle_slot(), pods=pods, deleted=deleted)) == AssignSlot(idle_slot(), None)
        assert step(warm(DONE, OTHER, slot=idle_slot(), pods=pods, deleted=deleted)) == AssignSlot(idle_slot(), OTHER)

    @pytest.mark.parametrize("holder", [None, OTHER], ids=["free", "assigned"])
    def test_idle_pod_that_no_watch_has_delivered_is_looked_up(self, holder: Job | None) -> None:
        assert step(warm(DONE, OTHER, slot=idle_slot(holder), pods=())) == VerifyPods(None, IDLE.uid, IDLE.name)

    @pytest.mark.parametrize(
        "change",
        [
            {"template": "template-0"},
            {"template": ""},
            {"foreign": True},
            {"node_lost": True},
            {"disruption": "EvictionByEvictionAPI: evicting"},
            {"run_ended": True},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("holder", [None, OTHER], ids=["free", "assigned"])
    def test_unfit_idle_pod_is_deleted_before_the_slot_is_used(self, change: Any, holder: Job | None) -> None:
        unfit = replace(IDLE, **change)
        for pods, action in [((unfit,), DeletePod), ((replace(unfit, deleting=True),), None)]:
            found = step(warm(DONE, OTHER, slot=idle_slot(holder), pods=pods))
            assert found is None if action is None else isinstance(found, action)

    def test_unfit_pod_is_deleted_although_no_job_waits(self) -> None:
        assert isinstance(step(warm(DONE, slot=idle_slot(), pods=(replace(IDLE, template="template-0"),))), DeletePod)

    def test_idle_pod_of_a_deleted_job_is_deleted(self) -> None:
        deleting = replace(DONE, deleting=True)
        assert isinstance(step(warm(deleting, OTHER, slot=idle_slot(), pods=(IDLE,))), DeletePod)
        assert isinstance(step(warm(OTHER, slot=idle_slot(), pods=(IDLE,), deleted={JOB.uid})), DeletePod)
        assert step(warm(OTHER, slot=idle_slot(), pods=(IDLE,))) == VerifyJob(IDLE)

    def test_idle_pod_without_its_lease_is_deleted(self) -> None:
        assert isinstance(step(warm(DONE, OTHER, slot=Slot(0), pods=(IDLE,))), DeletePod)

    def test_idle_pod_is_deleted_while_the_pod_of_another_slot_finds_no_node(self) -> None:
        """It may be waiting for this pod's GPU."""
        third = a_job("third")
        pending = a_pod(third, slot=1, waiting_reason=UNSCHEDULABLE)
        taken = a_slot(third, pending, number=1)
        snapshot = warm(DONE, holding(third, pending), slot=idle_slot(), pods=(IDLE, pending))
        snapshot = replace(snapshot, slots=snapshot.slots | {1: taken}, slot_count=2)
        assert isinstance(step(snapshot), DeletePod)
        scheduled = replace(snapshot, pods=snapshot.pods | {pending.uid: replace(pending, waiting_reason="")})
        assert step(scheduled) is None

    def test_idle_pod_of_a_slot_beyond_the_configured_number_is_deleted(self) -> None:
        snapshot = replace(warm(DONE, slot=idle_slot(), pods=(IDLE,)), slot_count=0)
        assert isinstance(step(snapshot), DeletePod)


class TestPodThatCanNotStay:
    """After a success, its process waits for an acknowledgement that does not come."""

    @pytest.mark.parametrize("pod", [replace(RUNNING, template="template-0"), replace(RUNNING, foreign=True)], ids=str)
    def test_it_is_deleted_and_the_slot_kept(self, pod: RunnerPod) -> None:
        assert isinstance(step(warm(DONE, OTHER, slot=a_slot(JOB, POD), pods=(pod,))), DeletePod)

    def test_it_is_deleted_without_warm_pods(self) -> None:
        assert isinstance(step(warm(DONE, OTHER, slot=a_slot(JOB, POD), pods=(RUNNING,), template=None)), DeletePod)

    def test_pod_of_a_failed_job_does_not_stay(self) -> None:
        failed = in_phase(holding(JOB, POD), Phase.FAILED, slot=None)
        assert isinstance(step(warm(failed, OTHER, slot=a_slot(JOB, POD), pods=(RUNNING,))), DeletePod)

    def test_pod_of_an_earlier_run_does_not_stay(self) -> None:
        later = in_phase(holding(JOB, a_pod(JOB, 2)), Phase.SUCCEEDED, slot=None)
        assert isinstance(step(warm(later, OTHER, slot=a_slot(JOB, POD), pods=(RUNNING,))), DeletePod)


class TestTakeover:
    HELD = holding(OTHER, TAKEN, run_start=RunStart.WARM)

    def test_next_job_takes_the_idle_pod_over(self) -> None:
        snapshot = warm(DONE, OTHER, slot=idle_slot(OTHER), pods=(IDLE,))
        assert step(snapshot) == TakeOverPod(IDLE, OTHER, 1)

    def test_its_attempt_follows_the_earlier_ones(self) -> None:
        again, earlier = in_phase(OTHER, Phase.QUEUED, attempts=3), ended(a_pod(OTHER, 3), None, 1)
        snapshot = warm(DONE, again, slot=idle_slot(again), pods=(IDLE, earlier))
        assert step(snapshot) == TakeOverPod(IDLE, again, 4)

    def test_status_shows_the_warm_start(self) -> None:
        status = written(warm(DONE, OTHER, slot=idle_slot(OTHER), pods=(TAKEN,)))
        ready = find(status, ConditionType.POD_READY)
        assert (status.phase, status.pod_uid, status.attempts) == (Phase.STARTING, IDLE.uid, 1)
        assert status.run_start is RunStart.WARM
        assert ready is not None
        assert ready.message.startswith("Warm start")

    def test_status_shows_the_cold_start_of_a_new_pod(self) -> None:
        gated = replace(a_pod(OTHER), gated=True, template=TEMPLATE)
        status = written(warm(OTHER, slot=a_slot(OTHER), pods=(gated,)))
        ready = find(status, ConditionType.POD_READY)
        assert status.run_start is RunStart.COLD
        assert ready is not None
        assert ready.message.startswith("Cold start")

    def test_pod_is_confirmed_once_it_is_recorded(self) -> None:
        slot = idle_slot(OTHER)
        assert step(warm(DONE, self.HELD, slot=slot, pods=(TAKEN,))) == ConfirmPod(slot, TAKEN)

    def test_confirmed_pod_gets_its_run_document(self) -> None:
        snapshot = warm(DONE, self.HELD, slot=a_slot(OTHER, TAKEN), pods=(TAKEN,))
        assert step(snapshot) == GiveRun(TAKEN, self.HELD)

    def test_run_is_supervised_from_then_on(self) -> None:
        assert written(warm(DONE, self.HELD, slot=a_slot(OTHER, TAKEN), pods=(GIVEN,))).phase is Phase.RUNNING

    def test_no_run_document_is_given_beside_another_active_pod(self) -> None:
        stray = a_pod(a_job("stray"))
        snapshot = warm(DONE, self.HELD, slot=a_slot(OTHER, TAKEN), pods=(TAKEN, stray), deleted={stray.job_uid})
        action = step(snapshot)
        assert isinstance(action, DeletePod)
        assert action.pod == stray

    def test_old_view_of_the_pod_is_refreshed(self) -> None:
        assert step(warm(DONE, self.HELD, slot=a_slot(OTHER, TAKEN), pods=(IDLE,))) == VerifyPods(
            None, IDLE.uid, IDLE.name
        )

    def test_suspended_job_passes_the_pod_on_to_the_next_one(self) -> None:
        suspended, third = replace(OTHER, spec=a_job(suspend=True).spec), a_job("third")
        slot = idle_slot(suspended)
        assert step(warm(DONE, suspended, third, slot=slot, pods=(TAKEN,))) == AssignSlot(slot, third, TAKEN)
        slot = idle_slot(third)
        assert step(warm(DONE, suspended, third, slot=slot, pods=(TAKEN,))) == TakeOverPod(TAKEN, third, 1)

    def test_pod_that_ended_before_it_was_confirmed_is_replaced(self) -> None:
        gone = ended(TAKEN, success(JOB))
        assert step(warm(DONE, self.HELD, slot=idle_slot(OTHER), pods=(gone,))) == CreatePod(self.HELD, 2, 0)
        assert step(warm(DONE, OTHER, slot=idle_slot(OTHER), pods=(gone,))) == CreatePod(OTHER, 2, 0)

    def test_taken_pod_is_no_run_of_a_job_that_lost_the_slot(self) -> None:
        """Its Lease was deleted before it got its document: it is deleted, and the job queues again."""
        assert isinstance(step(warm(DONE, self.HELD, slot=Slot(0), pods=(TAKEN,))), DeletePod)

    def test_run_keeps_its_slot_when_its_lease_is_deleted(self) -> None:
        snapshot = warm(DONE, self.HELD, slot=Slot(0), pods=(GIVEN,))
        assert step(snapshot) == AssignSlot(Slot(0), self.HELD)


class TestMissedHandover:
    """The idle pod ends at the very moment in which it is taken over."""

    HELD = holding(OTHER, TAKEN, phase=Phase.RUNNING, run_start=RunStart.WARM)
    EARLIER = success(JOB).model_copy(update={"job_uid": JOB.uid, "attempt": 1})

    def end_of(self, pod: RunnerPod) -> Any:
        return written(warm(DONE, self.HELD, slot=a_slot(OTHER, TAKEN), pods=(pod,)))

    @pytest.mark.parametrize(
        "pod", [ended(TAKEN, EARLIER), ended(TAKEN, None, 137), ended(GIVEN, EARLIER)], ids=["early", "killed", "late"]
    )
    def test_job_is_queued_again_and_nothing_is_counted(self, pod: RunnerPod) -> None:
        status = self.end_of(pod)
        ready = find(status, ConditionType.POD_READY)
        assert (status.phase, status.slot, status.next_attempt_time) == (Phase.QUEUED, None, None)
        assert (status.failures, status.interruptions, status.artifacts) == (0, 0, None)
        assert ready is not None
        assert ready.reason == "IdlePodGone"

    def test_pod_that_vanished_before_it_had_its_document_counts_no_failure(self) -> None:
        snapshot = warm(
            DONE,
            self.HELD,
            slot=a_slot(OTHER, TAKEN),
            pods=(),
            deleted={TAKEN.uid},
            last_seen={TAKEN.uid: replace(TAKEN, deleting=True)},
        )
        assert written(snapshot).failures == 0

    @pytest.mark.parametrize("end", [ended(GIVEN, None, 137), ended(GIVEN, EARLIER, 1)], ids=["killed", "failed"])
    def test_run_that_may_have_begun_counts_as_failed(self, end: RunnerPod) -> None:
        assert (self.end_of(end).failures, self.end_of(end).artifacts) == (1, None)

    def test_outcome_without_the_name_of_its_run_is_not_that_of_a_later_run(self) -> None:
        assert self.end_of(ended(GIVEN, success(JOB))).artifacts is None

    def test_outcome_of_the_run_itself_counts(self) -> None:
        own: Outcome = success(OTHER).model_copy(update={"job_uid": OTHER.uid, "attempt": 1})
        assert self.end_of(ended(GIVEN, own)).phase is Phase.SUCCEEDED
