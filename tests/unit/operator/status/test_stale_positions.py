"""Who of the queue is told anew, and who is left with what is nearly true."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_pod, a_slot, a_snapshot, holding

from darkroom_contract.status import JobStatus, Phase, QueueStatus
from darkroom_operator.scheduling.queue_position import (
    EXACT_POSITIONS,
    QueuePosition,
    queue_positions,
)
from darkroom_operator.status import transitions
from darkroom_operator.status.stale_positions import drift, has_position, stale_positions

JOB = a_job("a")
SOON, LATE = NOW + timedelta(seconds=30), NOW + timedelta(hours=1)


def told(
    position: int, now_at: int, *, start: datetime | None = None, starts_now: datetime | None = None
) -> QueuePosition:
    """A job that was told one place, and stands at another."""
    job = replace(JOB, name=f"at-{now_at}", uid=f"uid-at-{now_at}")
    job = replace(job, status=transitions.waiting(job, QueuePosition(job, position, None, start), NOW))
    return QueuePosition(job, now_at, None, starts_now)


def is_due(place: QueuePosition) -> bool:
    return drift(place, NOW) >= 1


class TestTheLine:
    def test_the_first_are_told_who_holds_the_slot(self) -> None:
        holder = holding(a_job("h"), a_pod(a_job("h")))
        waiting = [a_job(f"w{number:02}") for number in range(EXACT_POSITIONS + 2)]
        line = queue_positions(a_snapshot(holder, *waiting, slot=a_slot(holder)))
        assert [position.index for position in line] == list(range(EXACT_POSITIONS + 2))
        named = [place.waiting_for for place in line]
        assert named == ["GenerateJob/h"] * EXACT_POSITIONS + [None, None]

    def test_a_job_knows_its_place_only_as_the_spec_that_it_has_now(self) -> None:
        status = transitions.waiting(JOB, QueuePosition(JOB, 0), NOW)
        assert has_position(replace(JOB, status=status))
        assert not has_position(JOB)
        assert not has_position(replace(JOB, status=status, generation=2))
        assert not has_position(replace(JOB, status=status.model_copy(update={"phase": Phase.SUSPENDED})))


class TestDrift:
    @pytest.mark.parametrize("position", [0, 1, 5, 9])
    def test_the_first_are_told_of_every_step(self, position: int) -> None:
        assert is_due(told(position + 1, position))
        assert not is_due(told(position, position))

    @pytest.mark.parametrize(("was", "now_at", "due"), [(1200, 1000, False), (1250, 1000, True), (750, 1000, True)])
    def test_the_others_once_they_are_a_quarter_off(self, was: int, now_at: int, due: bool) -> None:
        assert is_due(told(was, now_at)) is due

    def test_a_job_that_comes_to_the_head_is_told_who_holds_the_slot(self) -> None:
        assert is_due(replace(told(9, 9), waiting_for="GenerateJob/h"))

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
    def test_a_start_that_is_not_true_enough_is_told_anew(
        self, start: datetime | None, starts_now: datetime | None, due: bool
    ) -> None:
        assert is_due(told(3, 3, start=start, starts_now=starts_now)) is due

    @pytest.mark.parametrize("before", ["TrainJob/t2", None])
    def test_a_generation_that_waits_for_another_training_than_it_says(self, before: str | None) -> None:
        status = transitions.waiting(JOB, QueuePosition(JOB, 3, training=before), NOW)
        told_before = replace(JOB, status=status)
        assert is_due(QueuePosition(told_before, 3, training="TrainJob/t"))
        assert not is_due(QueuePosition(told_before, 3, training=before))

    def test_a_place_that_somebody_took_out_of_the_status_is_told_again(self) -> None:
        edited = replace(JOB, status=JobStatus(phase=Phase.QUEUED, queue=QueueStatus(position=None)))
        assert is_due(QueuePosition(edited, 3))


class TestWhoIsToldFirst:
    def test_the_worst_informed(self) -> None:
        slightly, badly, well = told(3, 2), told(5000, 40), told(1000, 1000)
        assert stale_positions([slightly, badly, well], NOW, 10) == [badly, slightly]
        assert stale_positions([slightly, badly, well], NOW, 1) == [badly]

    def test_of_equals_the_one_that_is_next(self) -> None:
        line = [told(position + 1, position) for position in range(5)]
        assert stale_positions(line, NOW, 2) == line[:2]

    def test_none_when_all_know(self) -> None:
        assert stale_positions([told(position, position) for position in range(5)], NOW, 10) == []

    def test_a_hand_over_makes_few_of_ten_thousand_misinformed(self) -> None:
        line = [told(position + 1, position) for position in range(10_000)]
        assert len(stale_positions(line, NOW, 10_000)) == EXACT_POSITIONS
