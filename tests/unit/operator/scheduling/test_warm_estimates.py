"""Estimated start times with warm pods: warm and cold starts have durations of their own."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_pod, a_slot, a_snapshot, holding, in_phase

from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase, RunStart
from darkroom_operator.scheduling.eta import start_times
from darkroom_operator.scheduling.runtime_history import DurationEstimator
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot

COLD, WARM = 30.0, 4.0


def finished(name: str, start: RunStart | None, seconds: float) -> Job:
    end = NOW - timedelta(seconds=60)
    times = {"start_time": end - timedelta(seconds=seconds), "completion_time": end}
    return in_phase(a_job(name), Phase.SUCCEEDED, attempts=1, run_start=start, **times)


def estimator(*jobs: Job) -> DurationEstimator:
    found = DurationEstimator()
    for job in jobs:
        found.observe(job)
    return found


BOTH = estimator(finished("c", RunStart.COLD, COLD), finished("w", RunStart.WARM, WARM))
QUEUE = [a_job(name) for name in ("x", "y", "z")]


def waits(snapshot: Snapshot) -> list[float | None]:
    return [None if each is None else (each - NOW).total_seconds() for each in start_times(QUEUE, snapshot)]


def test_durations_are_separate() -> None:
    assert BOTH.estimate_seconds(a_job(), RunStart.COLD) == pytest.approx(COLD)
    assert BOTH.estimate_seconds(a_job(), RunStart.WARM) == pytest.approx(WARM)


def test_run_of_an_older_release_was_cold() -> None:
    both = estimator(finished("old", None, COLD), finished("w", RunStart.WARM, WARM))
    assert both.estimate_seconds(a_job()) == pytest.approx(COLD)


@pytest.mark.parametrize("known", RunStart)
def test_other_kind_of_start_is_better_than_no_estimate(known: RunStart) -> None:
    only = estimator(finished("x", known, 20))
    assert [only.estimate_seconds(a_job(), start) for start in RunStart] == pytest.approx([20, 20])


def test_jobs_after_the_first_start_warm() -> None:
    assert waits(a_snapshot(durations=BOTH, template="t")) == [0, COLD, COLD + WARM]


def test_first_job_starts_warm_in_an_idle_pod() -> None:
    slot = replace(a_slot(), idle_pod_uid="idle")
    assert waits(a_snapshot(slot=slot, durations=BOTH, template="t")) == [0, WARM, 2 * WARM]


def test_all_start_cold_without_warm_pods() -> None:
    assert waits(a_snapshot(durations=BOTH)) == [0, COLD, 2 * COLD]


@pytest.mark.parametrize(("start", "seconds"), [(RunStart.WARM, WARM), (RunStart.COLD, COLD)])
def test_running_job_ends_as_it_started(start: RunStart, seconds: float) -> None:
    job = a_job("running")
    holder = holding(job, a_pod(job), run_start=start)
    slot: Slot = replace(a_slot(holder, a_pod(job)), acquired=NOW)
    snapshot = a_snapshot(holder, slot=slot, durations=BOTH, template="t")
    assert waits(snapshot) == [seconds, seconds + WARM, seconds + 2 * WARM]
