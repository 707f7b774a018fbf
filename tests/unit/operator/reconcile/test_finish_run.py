"""The end of a run: success, failure, interruption, and what counts against the backoff limit."""

from dataclasses import replace

import pytest
from support.operator_snapshots import (
    NOW,
    RETRY_WAIT,
    a_job,
    a_pod,
    a_slot,
    a_snapshot,
    ended,
    failure,
    holding,
    in_phase,
    running,
    success,
)
from support.planned_actions import JOB, OTHER, POD, step, written

from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.status import ConditionType, Phase
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.actions import (
    AssignSlot,
    VerifyPods,
)
from darkroom_operator.status.conditions import find


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
        assert step(unseen) == VerifyPods(0, POD.uid)
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

    def test_the_end_of_a_run_on_a_restarted_machine_counts(self) -> None:
        job = holding(a_job("job", backoff_limit=0), POD)
        lost = replace(running(POD), node_lost=True)
        job = replace(job, status=written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(lost,))))
        rebooted = replace(ended(POD, None, 255), exit_reason="Error")
        status = written(a_snapshot(job, slot=a_slot(JOB, POD), pods=(rebooted,)))
        assert (status.failures, status.interruptions) == (0, 1)

    def test_it_is_read_from_the_last_state_of_a_deleted_pod(self) -> None:
        deleted = {"deleted": {POD.uid}, "last_seen": {POD.uid: self.DRAINED}}
        status = written(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), **deleted))
        assert (status.failures, status.interruptions) == (0, 1)

    def test_a_success_is_read_from_it_too(self) -> None:
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
