"""Chaos: every process is killed repeatedly and pods are evicted, behind an API server that fails at random.

No job may be lost, no slot may run two at once, and no run may be carried out twice: runners take over the next job's
run, or leave at that moment. `make chaos` runs it with 60 jobs; SEEDS=5 runs five seeds, SEED=7 starts at the seventh.
A seed fixes all actions with their times and the order of faults; which request meets a fault also depends on the
machine.
"""

import os
from collections import Counter
from pathlib import Path

import pytest
from support.chaos_cluster import ChaosCluster, processes_of
from support.chaos_schedule import Schedule, Work, draw_schedule
from support.kube_api import Json
from support.waiting import waiter
from support.warm_parent.installation import WarmParent

from darkroom_local.node.journal import overlapping_runs

JOBS = int(os.environ.get("CHAOS_JOBS") or 7)
FIRST_SEED = int(os.environ.get("CHAOS_SEED") or 1)
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("CHAOS_SEEDS") or 1))
TIMEOUT_SECONDS = 180.0 + 40.0 * JOBS
"""Allows for retries and for a busy machine."""

FAILURES = {Work.NO_DATASET: "DatasetNotFound", Work.NO_MODEL: "ModelNotFound"}

wait_for = waiter(TIMEOUT_SECONDS)


@pytest.mark.timeout(600 + 4 * TIMEOUT_SECONDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_job_is_lost_and_no_slot_runs_two_at_once(tmp_path: Path, warm_cluster: WarmParent, seed: int) -> None:
    schedule = draw_schedule(seed, JOBS)
    print(schedule, f"Replay it with: make chaos SEED={seed}" + f" JOBS={JOBS}" * (JOBS != 60), sep="\n")
    chaos = ChaosCluster(tmp_path, warm_cluster, seed)
    with chaos.running():
        chaos.play(schedule)
        print("faults:", dict(chaos.proxy.faults), "evictions:", chaos.evictions)
        try:
            wait_for(lambda: not chaos.unfinished(), "all jobs have ended")
        finally:
            print("unfinished:", chaos.unfinished())
        wait_for(chaos.slot_is_free, "no slot is held")
        wait_for(lambda: all(run.ended is not None for run in chaos.record()), "all runs are over")

        begun, starts = chaos.begun_runs(), [job["status"].get("runStart") for job in chaos.jobs().values()]
        print("runs:", begun.total(), "last starts:", Counter(starts))
        assert chaos.proxy.faults.total() > 0
        assert begun
        assert {run for run, times in begun.items() if times > 1} == set()
        assert endings(chaos) == expected_endings(chaos, schedule)
        assert overlapping_runs(chaos.record()) == []
        assert chaos.damaged_artifacts() == []
    assert processes_of(tmp_path) == {}


def endings(chaos: ChaosCluster) -> dict[str, str]:
    """How each existing job ended: Succeeded, or the reason of its failure."""
    return {name: ending(job["status"]) for name, job in chaos.jobs().items()}


def ending(status: Json) -> str:
    failed = [each["reason"] for each in status["conditions"] if each["type"] == "Failed" and each["status"] == "True"]
    if status["phase"] == "Succeeded" and not status.get("artifacts"):
        return "Succeeded without artifacts"
    return str(failed[0] if failed else status["phase"])


def expected_endings(chaos: ChaosCluster, schedule: Schedule) -> dict[str, str]:
    """Of exactly the jobs that were accepted and not deleted."""
    kept = {name: work for name, work in schedule.jobs.items() if name not in schedule.deleted}
    return {chaos.names[name]: FAILURES.get(work, "Succeeded") for name, work in kept.items()}
