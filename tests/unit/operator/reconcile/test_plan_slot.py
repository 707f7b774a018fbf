"""The steps of a run, with a table or a story for each decision."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.operator_snapshots import (
    NOW,
    RETRY_WAIT,
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
    success,
)

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.status import ConditionType, JobStatus, Phase
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.actions import (
    Action,
    AssignSlot,
    ConfirmPod,
    CreatePod,
    DeletePod,
    UngatePod,
    VerifyHolder,
    VerifyPods,
    WriteStatus,
)
from darkroom_operator.reconcile.plan_slot import PHASE_FOLLOWS_WITHIN, plan_slot
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find
from darkroom_operator.status.pod_condition import DELETION_OVERDUE, NODE_LOST_ADVICE

JOB, OTHER = a_job("job"), replace(a_job("other"), created=NOW)
POD = a_pod(JOB)
GATED = replace(POD, gated=True)


def step(snapshot: Snapshot) -> Action | None:
    return plan_slot(snapshot.slots[0], snapshot, retry_wait)


def written(snapshot: Snapshot) -> JobStatus:
    action = step(snapshot)
    assert isinstance(action, WriteStatus)
    return action.status


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
        assert step(a_snapshot(job, slot=a_slot(JOB))) == VerifyPods(JOB.uid, GATED.uid)

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
    def without_room(job: Job, minutes_ago: float = 0) -> Job:
        return replace(
            job, status=transitions.quota_exceeded(job, "exceeded quota", NOW - timedelta(minutes=minutes_ago))
        )

    def test_the_pod_is_requested_again_however_long_ago_it_was_first_refused(self) -> None:
        job = self.without_room(a_job("job", start_deadline_seconds=20), minutes_ago=60)
        assert step(a_snapshot(job, slot=a_slot(JOB))) == CreatePod(job, 1, 0)

    def test_a_refusal_of_another_kind_has_the_whole_start_deadline_from_then_on(self) -> None:
        job = self.without_room(a_job("job", start_deadline_seconds=20), minutes_ago=60)
        slot = replace(a_slot(JOB), acquired=NOW - timedelta(minutes=61))
        refused = replace(job, status=transitions.pod_refused(job, "a webhook says no", NOW - timedelta(seconds=19)))
        assert step(a_snapshot(refused, slot=slot)) == CreatePod(refused, 1, 0)
        refused = replace(job, status=transitions.pod_refused(job, "a webhook says no", NOW - timedelta(seconds=20)))
        assert written(a_snapshot(refused, slot=slot)).failures == 1

    def test_the_slot_is_handed_over_to_a_job_that_precedes_its_holder(self) -> None:
        slot, first = a_slot(JOB), a_job("first", priority=1)
        assert step(a_snapshot(self.without_room(JOB), OTHER, first, slot=slot)) == AssignSlot(slot, first)
        assert isinstance(step(a_snapshot(self.without_room(JOB), OTHER, slot=slot)), CreatePod)

    @pytest.mark.parametrize("change", [{"spec": a_job(suspend=True).spec}, {"deleting": True}])
    def test_the_slot_is_handed_over_when_its_holder_may_not_run(self, change: dict[str, Any]) -> None:
        slot = a_slot(JOB)
        snapshot = a_snapshot(replace(self.without_room(JOB), **change), OTHER, slot=slot)
        assert step(snapshot) == AssignSlot(slot, OTHER)

    def test_no_other_slot_is_assigned_meanwhile(self) -> None:
        free = Slot(1, "lease-1", "7")
        snapshot = a_snapshot(self.without_room(JOB), OTHER, slot=a_slot(JOB))
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


class TestEndOfARun:
    def test_success_is_recorded_with_its_artifacts(self) -> None:
        pod = ended(POD, success(JOB))
        status = written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), pods=(pod,)))
        assert status.phase is Phase.SUCCEEDED
        assert [each.key for each in status.artifacts or ()] == ["runs/uid-job/image-1.png"]
        assert status.slot is None

    @pytest.mark.parametrize("reason", [reason for reason in Reason if not reason.retriable])
    def test_a_permanent_failure_ends_the_job(self, reason: Reason) -> None:
        pod = ended(POD, failure(reason), 1)
        status = written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), pods=(pod,)))
        failed = find(status, ConditionType.FAILED)
        assert status.phase is Phase.FAILED
        assert failed is not None
        assert (failed.reason, failed.message) == (reason, "it broke")

    @pytest.mark.parametrize(
        "end",
        [
            ended(POD, failure(Reason.STORAGE_UNAVAILABLE), 75),
            ended(POD, None, 137),
            replace(POD, terminated=True, waiting_reason="Evicted", waiting_message="The node was low on memory."),
        ],
        ids=["reported", "killed", "evicted before it began"],
    )
    def test_a_retriable_failure_is_retried_after_a_wait(self, end: RunnerPod) -> None:
        status = written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), pods=(end,)))
        assert (status.phase, status.failures, status.slot) == (Phase.QUEUED, 1, None)
        assert status.next_attempt_time == NOW + RETRY_WAIT

    def test_the_last_allowed_failure_ends_the_job_with_its_cause(self) -> None:
        job = a_job("job", backoff_limit=1)
        pod = ended(a_pod(JOB, 2), failure(Reason.OUT_OF_MEMORY, "no memory"), 75)
        held = holding(job, pod, failures=1)
        failed = find(written(a_snapshot(held, slot=a_slot(JOB, pod), pods=(pod,))), ConditionType.FAILED)
        assert failed is not None
        assert failed.reason == Reason.BACKOFF_LIMIT_EXCEEDED
        assert failed.message.startswith("OutOfMemory: no memory")

    def test_a_vanished_pod_is_a_failed_run_only_when_the_api_server_confirms_it(self) -> None:
        held = holding(JOB, POD)
        unseen = a_snapshot(held, slot=a_slot(JOB, POD))
        deleted = a_snapshot(held, slot=a_slot(JOB, POD), deleted={POD.uid})
        assert step(unseen) == VerifyPods(JOB.uid, POD.uid)
        assert written(deleted).failures == 1

    def test_the_slot_is_handed_over_once_the_end_is_recorded(self) -> None:
        done = in_phase(JOB, Phase.SUCCEEDED, attempts=1, pod_uid=POD.uid)
        slot = a_slot(JOB, POD)
        snapshot = a_snapshot(done, OTHER, slot=slot, pods=(ended(POD, success(JOB)),))
        assert step(snapshot) == AssignSlot(slot, OTHER)

    def test_the_slot_is_freed_when_no_other_job_waits(self) -> None:
        done = in_phase(JOB, Phase.SUCCEEDED, attempts=1, pod_uid=POD.uid)
        slot = a_slot(JOB, POD)
        assert step(a_snapshot(done, slot=slot, pods=(ended(POD, success(JOB)),))) == AssignSlot(slot, None)


class TestStops:
    def test_a_deadline_without_a_recorded_start_counts_from_the_node_s_start_time(self) -> None:
        """CRDs of an older release drop the recorded one."""
        job = holding(a_job("job", active_deadline_seconds=5), POD, phase=Phase.RUNNING)
        in_time, too_late = running(POD, seconds=4), running(POD, seconds=6)
        assert not isinstance(step(a_snapshot(job, slot=a_slot(JOB, POD), pods=(in_time,))), DeletePod)
        stopping = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(too_late,)))
        ready = find(stopping, ConditionType.POD_READY)
        assert ready is not None
        assert ready.reason == Reason.ACTIVE_DEADLINE_EXCEEDED

    def test_no_deadline_is_enforced_before_the_operator_has_seen_the_run(self) -> None:
        job = holding(a_job("job", active_deadline_seconds=5), POD)
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(running(POD, seconds=900),)))
        assert (status.phase, status.run_start_time) == (Phase.RUNNING, NOW)

    @pytest.mark.parametrize(
        ("spec", "pod", "reason"),
        [
            ({"suspend": True}, running(POD), "Suspended"),
            ({"active_deadline_seconds": 5}, running(POD), Reason.ACTIVE_DEADLINE_EXCEEDED),
            ({"start_deadline_seconds": 20}, POD, Reason.START_DEADLINE_EXCEEDED),
        ],
    )
    def test_the_reason_of_a_stop_is_recorded_first(self, spec: dict[str, object], pod: RunnerPod, reason: str) -> None:
        job = holding(a_job("job", **spec), POD, phase=Phase.RUNNING, run_start_time=NOW - timedelta(seconds=6))
        stopping = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(pod,)))
        ready = find(stopping, ConditionType.POD_READY)
        assert ready is not None
        assert ready.reason == reason
        action = step(a_snapshot(replace(job, status=stopping), slot=a_slot(JOB, POD), pods=(pod,)))
        assert isinstance(action, DeletePod)

    @pytest.mark.parametrize("pod", [running(POD), replace(POD, node_lost=True)], ids=["stopping", "on a lost node"])
    def test_a_pod_that_lingers_keeps_its_slot(self, pod: RunnerPod) -> None:
        job = holding(a_job("job", suspend=True), POD)
        lingering = replace(pod, deleting=True)
        job = replace(job, status=transitions.stopping(job, "Suspended", "it is being stopped", lingering, NOW))
        assert step(a_snapshot(job, OTHER, slot=a_slot(JOB, POD), pods=(lingering,))) is None

    @pytest.mark.parametrize("reason", ["Suspended", Reason.ACTIVE_DEADLINE_EXCEEDED])
    def test_a_stop_on_an_unreachable_node_says_what_to_do_and_keeps_its_reason(self, reason: str) -> None:
        job = holding(a_job("job", suspend=True), POD)
        job = replace(job, status=transitions.stopping(job, reason, "It is being stopped.", POD, NOW))
        overdue = replace(running(POD), deleting=True, node="n", deletion_deadline=NOW - DELETION_OVERDUE)
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(overdue,)))
        ready = find(status, ConditionType.POD_READY)
        assert ready is not None
        assert ready.reason == reason
        assert ready.message == f"It is being stopped. {NODE_LOST_ADVICE}"
        assert step(a_snapshot(replace(job, status=status), slot=a_slot(JOB, POD), pods=(overdue,))) is None

    def test_a_suspended_run_does_not_count_as_a_failure(self) -> None:
        job = holding(a_job("job", suspend=True), POD)
        job = replace(job, status=transitions.stopping(job, "Suspended", "it is being stopped", POD, NOW))
        pod = ended(POD, failure(Reason.INTERRUPTED), 143)
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(pod,)))
        assert (status.phase, status.failures, status.slot) == (Phase.SUSPENDED, 0, None)

    def test_a_run_that_finished_before_it_could_be_stopped_has_succeeded(self) -> None:
        job = holding(a_job("job", suspend=True), POD)
        job = replace(job, status=transitions.stopping(job, "Suspended", "it is being stopped", POD, NOW))
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(ended(POD, success(JOB)),)))
        assert status.phase is Phase.SUCCEEDED

    def test_a_run_past_its_deadline_fails_its_job_for_good(self) -> None:
        job = holding(a_job("job", active_deadline_seconds=5), POD)
        job = replace(job, status=transitions.stopping(job, Reason.ACTIVE_DEADLINE_EXCEEDED, "too long", POD, NOW))
        pod = ended(POD, failure(Reason.INTERRUPTED), 143)
        assert written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(pod,))).phase is Phase.FAILED

    def test_a_pod_that_never_started_is_retried_with_the_scheduler_s_message(self) -> None:
        job = holding(a_job("job", start_deadline_seconds=20), POD)
        unscheduled = replace(POD, waiting_reason="Unschedulable", waiting_message="0/3 nodes have a GPU.")
        job = replace(job, status=written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(unscheduled,))))
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), deleted={POD.uid}))
        ready = find(status, ConditionType.POD_READY)
        assert (status.phase, status.failures) == (Phase.QUEUED, 1)
        assert ready is not None
        assert "0/3 nodes have a GPU." in ready.message


class TestRunWithALingeringPod:
    """The runner has ended, but a sidecar or the kubelet's delay keeps its pod from being terminated."""

    ENDED = replace(ended(POD, success(JOB)), terminated=False, sidecar_running=True)

    def test_its_outcome_counts_at_once(self) -> None:
        assert (
            written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), pods=(self.ENDED,))).phase is Phase.SUCCEEDED
        )

    def test_then_the_pod_is_deleted_and_the_slot_kept_until_it_is_gone(self) -> None:
        done = in_phase(JOB, Phase.SUCCEEDED, attempts=1, pod_uid=POD.uid)
        slot = a_slot(JOB, POD)
        assert isinstance(step(a_snapshot(done, OTHER, slot=slot, pods=(self.ENDED,))), DeletePod)
        assert step(a_snapshot(done, OTHER, slot=slot, pods=(replace(self.ENDED, deleting=True),))) is None
        assert step(a_snapshot(done, OTHER, slot=slot, deleted={POD.uid})) == AssignSlot(slot, OTHER)

    def test_without_a_sidecar_the_terminal_phase_is_awaited_and_the_logs_are_kept(self) -> None:
        alone = replace(self.ENDED, sidecar_running=False, finished=NOW - timedelta(hours=1))
        slot = a_slot(JOB, POD)
        done = replace(JOB, status=written(a_snapshot(holding(JOB, POD), slot=slot, pods=(alone,))))
        snapshot = a_snapshot(done, OTHER, slot=slot, pods=(alone,))
        assert step(snapshot) is None
        assert isinstance(step(replace(snapshot, now=NOW + PHASE_FOLLOWS_WITHIN)), DeletePod)

    def test_a_sidecar_on_an_unreachable_node_is_reported(self) -> None:
        failed = replace(
            ended(POD, failure(Reason.STORAGE_UNAVAILABLE), 75), terminated=False, sidecar_running=True, node="n"
        )
        waiting = replace(JOB, status=written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), pods=(failed,))))
        overdue = replace(failed, deleting=True, deletion_deadline=NOW - DELETION_OVERDUE)
        status = written(a_snapshot(waiting, OTHER, slot=a_slot(JOB, POD), pods=(overdue,)))
        ready = find(status, ConditionType.POD_READY)
        assert ready is not None
        assert ready.reason == "StorageUnavailable"
        assert ready.message.endswith(NODE_LOST_ADVICE)
        snapshot = a_snapshot(replace(waiting, status=status), OTHER, slot=a_slot(JOB, POD), pods=(overdue,))
        assert step(snapshot) is None

    def test_a_failed_one_is_retried_once_the_pod_is_gone(self) -> None:
        failed = replace(ended(POD, failure(Reason.STORAGE_UNAVAILABLE), 75), terminated=False, sidecar_running=True)
        status = written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), pods=(failed,)))
        assert (status.phase, status.failures, status.slot) == (Phase.QUEUED, 1, None)
        waiting = replace(JOB, status=status)
        assert isinstance(step(a_snapshot(waiting, OTHER, slot=a_slot(JOB, POD), pods=(failed,))), DeletePod)


class TestInterruption:
    DRAINED = replace(ended(POD, failure(Reason.INTERRUPTED), 143), disruption="EvictionByEvictionAPI: evicting")

    def test_it_never_counts_as_a_failure(self) -> None:
        job = holding(a_job("job", backoff_limit=0), POD, interruptions=7)
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(self.DRAINED,)))
        assert (status.phase, status.failures, status.interruptions) == (Phase.QUEUED, 0, 8)
        ready = find(status, ConditionType.POD_READY)
        assert ready is not None
        assert (ready.reason, ready.message) == (
            "Interrupted",
            "The run was interrupted: EvictionByEvictionAPI: evicting.",
        )

    @pytest.mark.parametrize(("before", "saved", "wait"), [(0, None, 1), (2, None, 3), (2, 50, 1), (2, 10, 3)])
    def test_the_waits_grow_unless_the_run_has_saved_progress(self, before: int, saved: int | None, wait: int) -> None:
        outcome = Outcome(succeeded=False, reason=Reason.INTERRUPTED, message="stopped", saved_step=saved)
        job = holding(JOB, POD, interruptions=before, saved_step=10)
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(ended(POD, outcome, 143),)))
        assert status.next_attempt_time == NOW + wait * RETRY_WAIT

    @pytest.mark.parametrize("reason", [None, "Terminating", "NodeLost"])
    def test_an_unseen_end_is_an_interruption_if_the_pod_was_being_deleted(self, reason: str | None) -> None:
        """As after a drain that ended the operator together with the run."""
        leaving = {
            None: running(POD),
            "Terminating": replace(running(POD), deleting=True),
            "NodeLost": replace(running(POD), node_lost=True),
        }[reason]
        job = holding(a_job("job", backoff_limit=0), POD)
        job = replace(job, status=written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(leaving,))))
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), deleted={POD.uid}))
        assert (status.failures, status.interruptions) == ((1, 0) if reason is None else (0, 1))

    def test_the_end_of_a_run_on_a_machine_that_came_back_is_one_too(self) -> None:
        job = holding(a_job("job", backoff_limit=0), POD)
        lost = replace(running(POD), node_lost=True)
        job = replace(job, status=written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(lost,))))
        rebooted = replace(ended(POD, None, 255), exit_reason="Error")
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(rebooted,)))
        assert (status.failures, status.interruptions) == (0, 1)

    def test_it_is_known_from_the_last_state_of_a_deleted_pod(self) -> None:
        deleted = {"deleted": {POD.uid}, "last_seen": {POD.uid: self.DRAINED}}
        status = written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), **deleted))
        assert (status.failures, status.interruptions) == (0, 1)

    def test_a_success_is_known_from_it_too(self) -> None:
        deleted = {"deleted": {POD.uid}, "last_seen": {POD.uid: ended(POD, success(JOB))}}
        assert written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), **deleted)).phase is Phase.SUCCEEDED

    def test_a_deleted_pod_that_was_last_seen_running_is_lost(self) -> None:
        deleted = {"deleted": {POD.uid}, "last_seen": {POD.uid: running(POD)}}
        status = written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), **deleted))
        assert (status.failures, status.interruptions) == (1, 0)

    def test_a_pod_that_was_deleted_with_its_lost_node_was_interrupted(self) -> None:
        lost = replace(running(POD), node_lost=True, node="gpu-7")
        job = holding(a_job("job", backoff_limit=0), POD)
        job = replace(job, status=written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(lost,))))
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), deleted={POD.uid}))
        assert (status.phase, status.failures, status.interruptions) == (Phase.QUEUED, 0, 1)


class TestProgressOfFailedRuns:
    @pytest.mark.parametrize(
        ("saved_before", "saved_now", "failures", "phase"),
        [
            (None, None, 1, Phase.FAILED),
            (None, 100, 0, Phase.QUEUED),
            (100, 200, 0, Phase.QUEUED),
            (200, 200, 1, Phase.FAILED),
            (200, 100, 1, Phase.FAILED),
        ],
    )
    def test_only_a_failure_without_progress_counts(
        self, saved_before: int | None, saved_now: int | None, failures: int, phase: Phase
    ) -> None:
        job = holding(a_job("job", backoff_limit=0), POD, saved_step=saved_before)
        outcome = Outcome(succeeded=False, reason=Reason.STORAGE_UNAVAILABLE, message="gone", saved_step=saved_now)
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(ended(POD, outcome, 75),)))
        assert (status.phase, status.failures) == (phase, failures)
        if phase is Phase.QUEUED:
            assert status.saved_step == max(saved_before or 0, saved_now or 0)


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
