"""A job whose run ended before its pod was released keeps its place in the queue, above all if its idle pod left."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_pod, a_slot, a_snapshot, ended, holding, in_phase, running
from support.planned_actions import JOB, OTHER, POD, step
from support.reconcile_stage import WarmStage

from darkroom_contract.handover import run_key
from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.actions import AssignSlot, CreatePod, DeletePod
from darkroom_operator.scheduling.admission import admit

DONE = in_phase(JOB, Phase.SUCCEEDED)
OLDER = replace(a_job("older"), created=NOW - timedelta(minutes=1))
TAKEN = replace(running(POD), acknowledged=run_key(JOB.uid, 1), job_uid=OLDER.uid, job_name=OLDER.name)
GONE = ended(TAKEN, None)
REQUEUED = in_phase(holding(OLDER, TAKEN), Phase.QUEUED, slot=None)
SLOT = a_slot(REQUEUED, TAKEN)


def next_step(*jobs: Job, pod: RunnerPod = GONE) -> object:
    return step(a_snapshot(DONE, *jobs, slot=SLOT, pods=(pod,)))


class TestIdlePodThatLeft:
    def test_its_job_keeps_the_slot(self) -> None:
        assert next_step(OTHER, REQUEUED) == AssignSlot(SLOT, REQUEUED)

    def test_its_job_then_gets_a_new_pod(self) -> None:
        snapshot = a_snapshot(DONE, OTHER, REQUEUED, slot=a_slot(REQUEUED), pods=(GONE,))
        assert step(snapshot) == CreatePod(REQUEUED, 2, 0)

    def test_job_with_a_higher_priority_precedes_it(self) -> None:
        urgent = replace(OTHER, spec=a_job(priority=1).spec)
        assert next_step(urgent, REQUEUED) == AssignSlot(SLOT, urgent)

    def test_slot_is_kept_until_the_pod_is_terminated(self) -> None:
        assert isinstance(next_step(OTHER, REQUEUED, pod=TAKEN), DeletePod)
        assert next_step(OTHER, REQUEUED, pod=replace(TAKEN, deleting=True)) is None

    @pytest.mark.parametrize(
        "change", [{"spec": a_job(suspend=True).spec}, {"deleting": True}], ids=["suspended", "deleted"]
    )
    def test_job_that_may_not_run_meanwhile_gives_the_slot_up(self, change: dict[str, object]) -> None:
        changed = replace(REQUEUED, **change)  # type: ignore[arg-type]
        assert next_step(OTHER, changed) == AssignSlot(SLOT, OTHER)
        assert next_step(changed) == AssignSlot(SLOT, None)

    def test_failed_run_that_is_still_backing_off_gives_the_slot_up(self) -> None:
        due = in_phase(REQUEUED, Phase.QUEUED, next_attempt_time=NOW)
        early = in_phase(REQUEUED, Phase.QUEUED, next_attempt_time=NOW + timedelta(seconds=1))
        assert next_step(OTHER, due) == AssignSlot(SLOT, due)
        assert next_step(OTHER, early) == AssignSlot(SLOT, OTHER)

    def test_old_view_of_the_job_does_not_keep_the_slot(self) -> None:
        """The status does not show the pod that the Lease names, so not the end of its run either."""
        snapshot = a_snapshot(DONE, OTHER, OLDER, slot=SLOT, pods=(), deleted={TAKEN.uid})
        assert step(snapshot) == AssignSlot(SLOT, OTHER)

    def test_job_never_holds_a_second_slot(self) -> None:
        free, twice = a_slot(number=1), a_slot(REQUEUED, a_pod(REQUEUED, 2, slot=1), number=1)
        snapshot = replace(a_snapshot(REQUEUED, OTHER, slot=SLOT), slots={0: SLOT, 1: free}, slot_count=2)
        assert admit(snapshot, free) == OTHER
        assert admit(snapshot, SLOT) == REQUEUED
        assert admit(replace(snapshot, slots={0: SLOT, 1: twice}), SLOT) == OTHER


@pytest.mark.parametrize("requests", range(9))
def test_process_that_leaves_between_any_two_requests_changes_no_order(requests: int) -> None:
    """Four jobs; the process leaves while the second takes its pod over."""
    warm, names = WarmStage(), ["a", "b", "c", "d"]
    for name in names:
        warm.user.create(name)
    pod = warm.run()
    warm.report(pod)
    warm.operator.step(2 * requests)
    warm.node.leave(pod)
    order = ["a"]
    for _ in names[1:]:
        [pod] = warm.rest()
        order.append(warm.labels(pod)["darkroom.dev/job-name"])
        warm.node.start(pod)
        warm.node.succeed(pod)
    warm.rest()
    assert order == names
    assert [warm.phase(name) for name in names] == ["Succeeded"] * 4
