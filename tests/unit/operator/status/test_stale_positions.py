"""Which waiting jobs get a status update, and which positions are accurate enough."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_pod, a_slot, a_snapshot, holding

from darkroom_contract.status import JobStatus, Phase, QueueStatus
from darkroom_operator.scheduling.admission import queued_with_trainings
from darkroom_operator.scheduling.queue_position import (
    EXACT_POSITIONS,
    QueuePosition,
    queue_positions,
)
from darkroom_operator.status import transitions
from darkroom_operator.status.stale_positions import drift, has_position, stale_positions

JOB = a_job("a")
SOON, LATE = NOW + timedelta(seconds=30), NOW + timedelta(hours=1)


def moved(
    position: int, now_at: int, *, start: datetime | None = None, starts_now: datetime | None = None
) -> QueuePosition:
    """A job whose status shows one position while it is at another."""
    job = replace(JOB, name=f"at-{now_at}", uid=f"uid-at-{now_at}")
    job = replace(job, status=transitions.waiting(job, QueuePosition(job, position, None, start), NOW))
    return QueuePosition(job, now_at, None, starts_now)


def is_due(position: QueuePosition) -> bool:
    return drift(position, NOW) >= 1


class TestPositions:
    def test_the_first_jobs_show_the_holder_of_the_slot(self) -> None:
        holder = holding(a_job("h"), a_pod(a_job("h")))
        waiting = [a_job(f"w{number:02}") for number in range(EXACT_POSITIONS + 2)]
        snapshot = a_snapshot(holder, *waiting, slot=a_slot(holder))
        positions = queue_positions(queued_with_trainings(snapshot), snapshot)
        assert [position.index for position in positions] == list(range(EXACT_POSITIONS + 2))
        named = [position.waiting_for for position in positions]
        assert named == ["GenerateJob/h"] * EXACT_POSITIONS + [None, None]

    def test_a_job_has_a_position_only_if_its_current_spec_was_observed(self) -> None:
        status = transitions.waiting(JOB, QueuePosition(JOB, 0), NOW)
        assert has_position(replace(JOB, status=status))
        assert not has_position(JOB)
        assert not has_position(replace(JOB, status=status, generation=2))
        assert not has_position(replace(JOB, status=status.model_copy(update={"phase": Phase.SUSPENDED})))


class TestDrift:
    @pytest.mark.parametrize("position", [0, 1, 5, 9])
    def test_the_first_positions_are_updated_at_every_step(self, position: int) -> None:
        assert is_due(moved(position + 1, position))
        assert not is_due(moved(position, position))

    @pytest.mark.parametrize(("was", "now_at", "due"), [(1200, 1000, False), (1250, 1000, True), (750, 1000, True)])
    def test_the_others_are_updated_once_they_are_a_quarter_off(self, was: int, now_at: int, due: bool) -> None:
        assert is_due(moved(was, now_at)) is due

    def test_a_job_that_reaches_the_head_gets_the_holder_of_the_slot(self) -> None:
        assert is_due(replace(moved(9, 9), waiting_for="GenerateJob/h"))

    @pytest.mark.parametrize(
        ("start", "starts_now", "due"),
        [
            (None, SOON, True),
            (SOON, None, True),
            (SOON, SOON + timedelta(seconds=9), False),
            (SOON, SOON + timedelta(seconds=30), True),
            (LATE, LATE + timedelta(seconds=600), False),
            (LATE, LATE + timedelta(seconds=1800), True),
            (NOW.replace(tzinfo=None), NOW, False),
        ],
        ids=["became known", "became unknown", "seconds", "twice the wait", "minutes of an hour", "half", "no zone"],
    )
    def test_an_inaccurate_start_is_updated(
        self, start: datetime | None, starts_now: datetime | None, due: bool
    ) -> None:
        assert is_due(moved(3, 3, start=start, starts_now=starts_now)) is due

    @pytest.mark.parametrize("before", ["TrainJob/t2", None])
    def test_a_changed_training_to_wait_for_is_updated(self, before: str | None) -> None:
        status = transitions.waiting(JOB, QueuePosition(JOB, 3, training=before), NOW)
        updated_before = replace(JOB, status=status)
        assert is_due(QueuePosition(updated_before, 3, training="TrainJob/t"))
        assert not is_due(QueuePosition(updated_before, 3, training=before))

    def test_a_position_that_was_removed_from_the_status_is_restored(self) -> None:
        edited = replace(JOB, status=JobStatus(phase=Phase.QUEUED, queue=QueueStatus(position=None)))
        assert is_due(QueuePosition(edited, 3))


class TestUpdateOrder:
    def test_the_most_outdated_comes_first(self) -> None:
        slightly, badly, well = moved(3, 2), moved(5000, 40), moved(1000, 1000)
        assert stale_positions([slightly, badly, well], NOW, 10) == [badly, slightly]
        assert stale_positions([slightly, badly, well], NOW, 1) == [badly]

    def test_of_equal_drifts_the_next_job_comes_first(self) -> None:
        positions = [moved(position + 1, position) for position in range(5)]
        assert stale_positions(positions, NOW, 2) == positions[:2]

    def test_nothing_is_stale_when_all_positions_are_right(self) -> None:
        assert stale_positions([moved(position, position) for position in range(5)], NOW, 10) == []

    def test_a_hand_over_makes_few_of_ten_thousand_positions_stale(self) -> None:
        positions = [moved(position + 1, position) for position in range(10_000)]
        assert len(stale_positions(positions, NOW, 10_000)) == EXACT_POSITIONS
