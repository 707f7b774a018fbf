"""Estimated start times: what is learned, what is predicted, and when there is no estimate."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.operator_snapshots import NOW, a_job, a_pod, a_slot, a_snapshot, a_training, holding, in_phase

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.progress import Stage
from darkroom_contract.status import Phase, ProgressStatus
from darkroom_operator.scheduling.eta import start_times
from darkroom_operator.scheduling.runtime_history import MAX_RUNS, DurationEstimator, measured_seconds
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot


def finished(name: str, seconds: float, *, ago_seconds: float = 60, job: Job | None = None, **status: Any) -> Job:
    """A job that held its slot for this long."""
    end = NOW - timedelta(seconds=ago_seconds)
    times = {"start_time": end - timedelta(seconds=seconds), "completion_time": end}
    done = in_phase(job or a_job(name), Phase.SUCCEEDED, **{"attempts": 1, **times, **status})
    return replace(done, name=name, uid=f"uid-{name}")


def estimator_of(*jobs: Job) -> DurationEstimator:
    estimator = DurationEstimator()
    for job in jobs:
        estimator.observe(job)
    return estimator


def generation(name: str, steps: int, count: int = 1) -> Job:
    return a_job(name, images={"steps": steps, "count": count})


def progress(remaining_seconds: float | None, percentage: float = 50.0, age_seconds: float = 0.0) -> ProgressStatus:
    return ProgressStatus(
        stage=Stage.DENOISING,
        progress_percentage=percentage,
        estimated_remaining_seconds=remaining_seconds,
        last_updated_time=NOW - timedelta(seconds=age_seconds),
    )


def held_by(job: Job, acquired_seconds_ago: float = 0.0, **status: Any) -> tuple[Job, Slot]:
    holder = holding(job, a_pod(job), **status)
    slot = replace(a_slot(holder, a_pod(job)), acquired=NOW - timedelta(seconds=acquired_seconds_ago))
    return holder, slot


def waits(jobs: list[Job], snapshot: Snapshot) -> list[float | None]:
    """Seconds until the estimated start of each job."""
    return [None if each is None else (each - NOW).total_seconds() for each in start_times(jobs, snapshot)]


class TestLearning:
    def test_a_job_is_estimated_by_a_comparable_one(self) -> None:
        assert estimator_of(finished("old", 40)).estimate_seconds(a_job("new")) == pytest.approx(40)

    def test_of_several_runs_the_median_counts_and_not_the_slow_one(self) -> None:
        estimator = estimator_of(finished("x", 40), finished("y", 4000), finished("z", 42))
        assert estimator.estimate_seconds(a_job("new")) == pytest.approx(42)

    def test_old_runs_are_dropped_for_newer_ones_in_any_order_of_observation(self) -> None:
        newer = [finished(f"new-{number}", 10, ago_seconds=number) for number in range(MAX_RUNS)]
        older = [finished(f"old-{number}", 500, ago_seconds=9000) for number in range(2 * MAX_RUNS)]
        for jobs in ([*newer, *older], [*older, *newer]):
            assert estimator_of(*jobs).estimate_seconds(a_job("next")) == pytest.approx(10)

    def test_a_job_that_is_observed_again_counts_once(self) -> None:
        often = [finished("x", 4000)] * 50
        assert estimator_of(*often, finished("y", 40), finished("z", 41)).estimate_seconds(a_job("n")) == pytest.approx(
            41
        )

    def test_a_larger_job_takes_proportionally_longer(self) -> None:
        estimator = estimator_of(finished("old", 40, job=generation("old", 50)))
        longer = estimator.estimate_seconds(generation("new", 100))
        assert longer is not None
        assert 40 < longer < 80

    def test_a_much_larger_job_or_another_shape_has_no_estimate(self) -> None:
        estimator = estimator_of(finished("old", 40, job=generation("old", 10)))
        assert estimator.estimate_seconds(generation("huge", 200, count=8)) is None
        assert estimator.estimate_seconds(a_job("moving", allow_motion=True)) is None
        assert estimator.estimate_seconds(a_training()) is None

    def test_durations_of_trainings_are_recorded(self) -> None:
        done = finished("old", 600, job=a_training(maxSteps=500))
        assert estimator_of(done).estimate_seconds(a_training("new", maxSteps=500)) == pytest.approx(600)

    def test_a_pace_outlives_its_job(self) -> None:
        estimator = estimator_of(finished("old", 40))
        estimator.forget("uid-old")
        assert estimator.estimate_seconds(a_job("new")) == pytest.approx(40)

    @pytest.mark.parametrize(
        "status",
        [{"phase": Phase.FAILED}, {"phase": Phase.RUNNING}, {"attempts": 2}, {"start_time": None}],
        ids=["failed", "not over", "a rest of an earlier run", "no beginning"],
    )
    def test_durations_of_other_ends_are_ignored(self, status: dict[str, Any]) -> None:
        job = finished("old", 40)
        job = replace(job, status=job.status.model_copy(update=status))
        assert measured_seconds(job) is None
        assert estimator_of(job).estimate_seconds(a_job("new")) is None

    def test_a_run_shorter_than_a_second_is_measured_by_its_own_clock(self) -> None:
        own = ProgressStatus(stage=Stage.DONE, metrics={"seconds": 0.4}, last_updated_time=NOW)
        assert measured_seconds(finished("old", 0, progress=own)) == 0.4
        assert measured_seconds(finished("old", 0)) is None

    def test_a_status_without_time_zones_is_read_as_utc(self) -> None:
        edited = finished("old", 40, start_time=datetime(2026, 11, 25, 11, 58, 20))  # noqa: DTZ001
        assert measured_seconds(edited) == 40
        assert NOW.tzinfo is UTC


class TestEstimatedStart:
    def test_is_now_for_the_first_job_when_the_slot_is_free(self) -> None:
        assert waits([a_job("a"), a_job("b")], a_snapshot()) == [0, None]

    def test_follows_the_holder_s_own_estimate_and_the_jobs_before(self) -> None:
        holder, slot = held_by(a_training("h"), progress=progress(100, age_seconds=20))
        snapshot = a_snapshot(holder, slot=slot, durations=estimator_of(finished("old", 30)))
        assert waits([a_job("a"), a_job("b"), a_job("c")], snapshot) == [80, 110, 140]

    def test_follows_past_runs_while_the_holder_has_hardly_started(self) -> None:
        estimator = estimator_of(finished("old", 30))
        for state in (None, progress(9999, percentage=2), progress(None, percentage=60)):
            holder, slot = held_by(a_job("h"), acquired_seconds_ago=12, progress=state)
            assert waits([a_job("a")], a_snapshot(holder, slot=slot, durations=estimator)) == [18]

    def test_follows_a_holder_that_has_hardly_started_if_nothing_else_is_known(self) -> None:
        holder, slot = held_by(a_job("h"), progress=progress(25, percentage=2))
        assert waits([a_job("a")], a_snapshot(holder, slot=slot)) == [25]

    def test_can_be_now_when_the_holder_is_overdue(self) -> None:
        estimator = estimator_of(finished("old", 30))
        holder, slot = held_by(a_job("h"), acquired_seconds_ago=500)
        assert waits([a_job("a"), a_job("b")], a_snapshot(holder, slot=slot, durations=estimator)) == [0, 30]

    def test_is_now_when_the_holder_has_ended_and_its_slot_is_about_to_be_handed_over(self) -> None:
        holder, slot = held_by(a_job("h"))
        assert waits([a_job("a")], a_snapshot(in_phase(holder, Phase.SUCCEEDED), slot=slot)) == [0]

    def test_is_unknown_without_any_knowledge_of_the_holder(self) -> None:
        holder, slot = held_by(a_job("h"))
        assert waits([a_job("a")], a_snapshot(holder, slot=slot)) == [None]
        assert waits([a_job("a")], a_snapshot(slot=slot)) == [None]

    def test_is_unknown_after_a_job_with_an_unknown_duration(self) -> None:
        snapshot = a_snapshot(durations=estimator_of(finished("old", 30)))
        assert waits([a_job("a"), a_training("t"), a_job("b")], snapshot) == [0, 30, None]

    def test_is_unknown_if_a_run_reports_an_absurd_end(self) -> None:
        holder, slot = held_by(a_job("h"), progress=progress(1e300))
        assert waits([a_job("a"), a_job("b")], a_snapshot(holder, slot=slot)) == [31536000, None]

    def test_uses_the_slot_that_is_free_first(self) -> None:
        holder, first = held_by(a_training("h"), progress=progress(100))
        snapshot = a_snapshot(holder, slot=first, durations=estimator_of(finished("old", 30)))
        two = replace(snapshot, slot_count=2, slots={0: first, 1: a_slot(number=1)})
        assert waits([generation(name, 30) for name in "abcde"], two) == [0, 30, 60, 90, 100]

    def test_ignores_a_slot_beyond_the_configured_number(self) -> None:
        holder, slot = held_by(a_training("h"), progress=progress(100))
        snapshot = replace(a_snapshot(holder, slot=slot), slots={0: slot, 1: a_slot(number=1)})
        assert waits([a_job("a")], snapshot) == [100]


@st.composite
def queues(draw: st.DrawFn) -> tuple[list[Job], Snapshot]:
    """A queue of jobs of several sizes, some of which are known, and one or two slots, held or free."""
    past = draw(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 10_000)), max_size=5))
    estimator = estimator_of(
        *(finished(f"p{n}", seconds, job=generation("p", steps)) for n, (steps, seconds) in enumerate(past))
    )
    jobs = [generation(f"w{n}", steps) for n, steps in enumerate(draw(st.lists(st.integers(1, 200), max_size=12)))]
    jobs, slots = [], {}
    for number in range(draw(st.integers(1, 2))):
        remaining = draw(st.one_of(st.none(), st.floats(0, 1e9)))
        holder, slot = held_by(generation(f"h{number}", 30), draw(st.integers(0, 5000)), progress=progress(remaining))
        jobs.append(holder)
        slots[number] = replace(slot, number=number) if draw(st.booleans()) else a_slot(number=number)
    snapshot = a_snapshot(*jobs, durations=estimator)
    return jobs, replace(snapshot, slots=slots, slot_count=len(slots))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(queues())
def test_estimates_are_in_the_order_of_the_queue_and_never_in_the_past(queue: tuple[list[Job], Snapshot]) -> None:
    jobs, snapshot = queue
    starts = list(start_times(jobs, snapshot))
    known = [each for each in starts if each is not None]
    assert len(starts) == len(jobs)
    assert known == sorted(known)
    assert all(each >= NOW for each in known)
    assert starts[len(known) :] == [None] * (len(jobs) - len(known)), "after an unknown duration every start is unknown"


def test_durations_are_separate_for_each_kind() -> None:
    assert a_training().kind is Kind.TRAIN
    assert estimator_of(finished("old", 40, job=a_training())).estimate_seconds(a_job("new")) is None
