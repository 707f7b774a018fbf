"""Housekeeping beside the slots, and when the next one is due."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_pod, a_slot, a_snapshot, ended, holding, in_phase, running, success

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.status import Phase
from darkroom_contract.webhooks import MAX_POSTPONEMENT, Delivery, DeliveryState, write_record
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.actions import (
    Action,
    DeleteJob,
    DeletePod,
    FailUnreadableJob,
    ObserveGeneration,
    Requeue,
    UpdateQueuePosition,
    WriteStatus,
)
from darkroom_operator.reconcile.housekeeping import STRAY_AFTER, housekeeping, next_deadline, next_due
from darkroom_operator.scheduling.queue_position import QueuePosition
from darkroom_operator.scheduling.snapshot import Snapshot, UnreadableJob
from darkroom_operator.status import transitions


def a_record(state: DeliveryState) -> str:
    return write_record({WebhookEvent.FAILED: Delivery(state=state, attempts=1, last_attempt_time=NOW)})


RETRYING, DELIVERED = a_record(DeliveryState.RETRYING), a_record(DeliveryState.DELIVERED)
JOB, OTHER = a_job("job"), replace(a_job("other"), created=NOW)
OLD = NOW - STRAY_AFTER
GATED = replace(a_pod(JOB), gated=True, created=OLD)


def todo(snapshot: Snapshot) -> list[Action]:
    return list(housekeeping(snapshot, max_updates=20))


def up_to_date(job: Job, position: int = 0) -> Job:
    """The job with the status that it should have while the slot is free: the first one can start now."""
    queue_position = QueuePosition(job, position, estimated_start=None if position else NOW)
    return replace(job, status=transitions.waiting(job, queue_position, NOW))


class TestQueuePositions:
    def test_each_waiting_job_gets_its_position_and_the_holder(self) -> None:
        holder = holding(a_job("holder"), a_pod(a_job("holder")))
        snapshot = a_snapshot(holder, OTHER, JOB, slot=a_slot(holder))
        queues = {each.job.name: each.status.queue for each in todo(snapshot) if isinstance(each, WriteStatus)}
        assert {name: queue and queue.position for name, queue in queues.items()} == {"job": 0, "other": 1}
        assert {queue and queue.waiting_for for queue in queues.values()} == {"GenerateJob/holder"}

    def test_a_job_with_the_right_position_is_not_updated(self) -> None:
        assert todo(a_snapshot(up_to_date(JOB))) == []

    def test_a_job_that_moved_up_gets_its_new_position(self) -> None:
        [action] = todo(a_snapshot(up_to_date(JOB, position=1)))
        assert isinstance(action, UpdateQueuePosition)
        assert action.status.queue is not None
        assert action.status.queue.position == 0

    def test_the_number_of_position_updates_is_limited(self) -> None:
        snapshot = a_snapshot(*(up_to_date(a_job(f"job-{number}"), position=number + 1) for number in range(9)))
        assert len(list(housekeeping(snapshot, max_updates=4))) == 4
        assert not list(housekeeping(snapshot, max_updates=0))

    def test_a_new_job_gets_its_position_regardless_of_the_limit(self) -> None:
        snapshot = a_snapshot(up_to_date(JOB, position=7), OTHER)
        [action] = housekeeping(snapshot, max_updates=0)
        assert isinstance(action, WriteStatus)
        assert action.job == OTHER

    def test_a_changed_spec_of_a_waiting_job_is_observed(self) -> None:
        [action] = housekeeping(a_snapshot(replace(up_to_date(JOB), generation=2)), max_updates=0)
        assert isinstance(action, WriteStatus)
        assert action.status.observed_generation == 2

    def test_a_suspended_job_gets_its_status(self) -> None:
        [action] = todo(a_snapshot(a_job("job", suspend=True)))
        assert isinstance(action, WriteStatus)
        assert action.status.phase is Phase.SUSPENDED

    @pytest.mark.parametrize(
        "job",
        [
            in_phase(JOB, Phase.SUCCEEDED, observed_generation=1),
            in_phase(JOB, Phase.FAILED, observed_generation=1),
            replace(JOB, deleting=True),
        ],
    )
    def test_a_finished_or_deleted_job_gets_no_update(self, job: Job) -> None:
        assert todo(a_snapshot(job)) == []

    def test_a_job_that_lost_the_slot_of_its_status_is_requeued_only_after_the_lease_was_read(self) -> None:
        lost = holding(JOB, GATED)
        [action] = todo(a_snapshot(lost, pods=(replace(GATED, created=NOW),)))
        assert isinstance(action, Requeue)
        assert action.status.slot is None

    def test_a_deleted_job_that_lost_the_slot_of_its_status_is_requeued_too(self) -> None:
        """A finalizer keeps it until its files are removed, which happens only while no run can be active."""
        lost = replace(holding(JOB, a_pod(JOB)), deleting=True)
        [action] = todo(a_snapshot(lost))
        assert isinstance(action, Requeue)
        assert action.status.slot is None

    def test_a_job_whose_active_run_is_about_to_get_its_slot_back_is_not_updated(self) -> None:
        pod = running(a_pod(JOB))
        assert todo(a_snapshot(holding(JOB, pod), pods=(pod,))) == []


class TestStrayPods:
    @pytest.mark.parametrize(
        ("job", "holder"),
        [
            (None, None),
            (JOB, None),
            (JOB, OTHER),
            (in_phase(JOB, Phase.QUEUED, attempts=1, pod_uid="another"), JOB),
        ],
        ids=["job deleted", "slot free", "slot another's", "another run's"],
    )
    def test_a_gated_pod_without_use_is_deleted(self, job: Job | None, holder: Job | None) -> None:
        known = [each for each in (job, OTHER) if each is not None]
        actions = todo(a_snapshot(*known, slot=a_slot(holder), pods=(GATED,)))
        assert DeletePod(GATED, "it belongs to no run") in actions

    @pytest.mark.parametrize(
        "pod",
        [
            replace(GATED, created=OLD + timedelta(seconds=1)),
            replace(GATED, deleting=True),
            running(a_pod(JOB)),
            ended(a_pod(JOB), success(JOB)),
        ],
        ids=["young", "being deleted", "ungated", "terminated"],
    )
    def test_any_other_pod_is_kept(self, pod: RunnerPod) -> None:
        assert not [action for action in todo(a_snapshot(pods=(pod,))) if isinstance(action, DeletePod)]

    def test_the_pod_of_the_holder_is_kept(self) -> None:
        snapshot = a_snapshot(JOB, slot=a_slot(JOB), pods=(GATED,))
        assert not [action for action in todo(snapshot) if isinstance(action, DeletePod)]


class TestTimeToLive:
    @pytest.mark.parametrize(("age_seconds", "is_removed"), [(59, False), (60, True), (600, True)])
    def test_a_finished_job_is_deleted_when_its_time_to_live_expires(self, age_seconds: int, is_removed: bool) -> None:
        job = a_job("job", ttl_seconds_after_finished=60)
        ended = {"completion_time": NOW - timedelta(seconds=age_seconds), "observed_generation": 1}
        job = in_phase(job, Phase.FAILED, **ended)
        assert (todo(a_snapshot(job)) == [DeleteJob(job)]) is is_removed

    @pytest.mark.parametrize(
        ("age", "record", "is_removed"),
        [
            (timedelta(minutes=2), None, False),
            (timedelta(minutes=2), RETRYING, False),
            (timedelta(minutes=2), DELIVERED, True),
            (MAX_POSTPONEMENT - timedelta(seconds=1), RETRYING, False),
            (MAX_POSTPONEMENT, RETRYING, True),
        ],
    )
    def test_an_undelivered_webhook_postpones_the_deletion_for_a_limited_time(
        self, age: timedelta, record: str | None, is_removed: bool
    ) -> None:
        job = a_job("job", ttl_seconds_after_finished=60, webhook="https://example.com/")
        job = in_phase(job, Phase.FAILED, completion_time=NOW - age, observed_generation=1)
        job = replace(job, webhook_record=record)
        assert (todo(a_snapshot(job)) == [DeleteJob(job)]) is is_removed
        due = [] if is_removed else [NOW - age + MAX_POSTPONEMENT]
        assert [next_due(a_snapshot(job))] == (due or [None])

    def test_a_job_without_a_limit_stays(self) -> None:
        ended = {"completion_time": NOW - timedelta(days=99), "observed_generation": 1}
        assert todo(a_snapshot(in_phase(JOB, Phase.FAILED, **ended))) == []


class TestChangedSpecsOfFinishedJobs:
    def test_status_and_every_condition_observe_the_newest_generation(self) -> None:
        done = replace(JOB, status=transitions.succeeded(JOB, success(JOB), NOW))
        [action] = todo(a_snapshot(replace(done, generation=7)))
        assert isinstance(action, ObserveGeneration)
        assert action.status.observed_generation == 7
        assert [each.observed_generation for each in action.status.conditions] == [7]
        assert action.status.phase is Phase.SUCCEEDED
        assert todo(a_snapshot(replace(done, generation=7, status=action.status))) == []

    def test_the_number_of_updates_is_limited(self) -> None:
        done = [replace(a_job(f"job-{n}"), status=transitions.succeeded(JOB, success(JOB), NOW)) for n in range(50)]
        changed = a_snapshot(*(replace(job, generation=2) for job in done))
        assert len(list(housekeeping(changed, max_updates=20))) == 20
        assert list(housekeeping(changed, max_updates=0)) == []

    def test_stale_positions_leave_them_a_share(self) -> None:
        waiting = [replace(a_job(f"w{n:02}"), status=up_to_date(JOB, 9).status) for n in range(50)]
        done = [replace(a_job(f"job-{n}"), status=transitions.succeeded(JOB, success(JOB), NOW)) for n in range(50)]
        snapshot = a_snapshot(*waiting, *(replace(job, generation=2) for job in done))
        found = list(housekeeping(snapshot, max_updates=20))
        assert sum(isinstance(each, ObserveGeneration) for each in found) == 5
        assert len(found) == 20


@pytest.mark.parametrize("failed", [False, True])
def test_an_unreadable_job_is_failed_once(failed: bool) -> None:
    job = UnreadableJob(Kind.TRAIN, "default", "b", "uid-b", "1", failed=failed, fault="prompt: too short")
    assert todo(a_snapshot(unreadable={"uid-b": job})) == ([] if failed else [FailUnreadableJob(job)])


def next_moments(snapshot: Snapshot) -> list[datetime]:
    return [moment for moment in (next_deadline(snapshot), next_due(snapshot)) if moment is not None]


class TestNextDueTime:
    def test_it_is_none_when_only_events_can_change_anything(self) -> None:
        assert next_moments(a_snapshot(up_to_date(JOB))) == []

    @pytest.mark.parametrize(
        ("snapshot", "seconds"),
        [
            (a_snapshot(in_phase(JOB, Phase.QUEUED, next_attempt_time=NOW + timedelta(seconds=7))), 7),
            (
                a_snapshot(
                    holding(a_job("job", start_deadline_seconds=40), a_pod(JOB)),
                    slot=a_slot(JOB, a_pod(JOB)),
                    pods=(a_pod(JOB),),
                ),
                10,
            ),
            (
                a_snapshot(
                    holding(
                        a_job("job", active_deadline_seconds=15),
                        a_pod(JOB),
                        phase=Phase.RUNNING,
                        run_start_time=NOW - timedelta(seconds=10),
                    ),
                    slot=a_slot(JOB, a_pod(JOB)),
                    pods=(running(a_pod(JOB)),),
                ),
                5,
            ),
            (
                a_snapshot(
                    in_phase(a_job("job", ttl_seconds_after_finished=60), Phase.SUCCEEDED, completion_time=NOW),
                ),
                60,
            ),
            (a_snapshot(pods=(replace(GATED, created=NOW),)), STRAY_AFTER.total_seconds()),
        ],
        ids=["a retry", "a start deadline", "an active deadline", "a time to live", "a stray"],
    )
    def test_it_is_when_the_first_is_due(self, snapshot: Snapshot, seconds: float) -> None:
        assert next_moments(snapshot) == [NOW + timedelta(seconds=seconds)]

    def test_overdue_work_is_no_reason_to_look_again(self) -> None:
        assert next_moments(a_snapshot(in_phase(JOB, Phase.QUEUED, next_attempt_time=NOW))) == []
