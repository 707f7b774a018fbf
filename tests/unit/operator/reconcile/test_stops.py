"""Runs that are stopped, and pods that linger after the end of their run."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.operator_snapshots import (
    NOW,
    a_job,
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

from darkroom_contract.outcome import Reason
from darkroom_contract.status import ConditionType, Phase
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.actions import (
    AssignSlot,
    DeletePod,
)
from darkroom_operator.reconcile.plan_slot import PHASE_FOLLOWS_WITHIN
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find
from darkroom_operator.status.pod_condition import DELETION_OVERDUE, NODE_LOST_ADVICE


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
        started = {} if pod.started is None else {"phase": Phase.RUNNING, "run_start_time": NOW - timedelta(seconds=6)}
        job = holding(a_job("job", **spec), POD, **started)
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
