"""Redis is lost while a pod is handed over: that costs the warm start of the next job, and nothing else."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.darkroom_up import Darkroom, wait_for
from support.warm_jobs import apply_pictures, status_of

from darkroom_contract.handover import IDLE, LABEL_RUNNER_STATE
from darkroom_contract.names import LABEL_JOB_NAME
from darkroom_local.node.journal import overlapping_runs


@contextmanager
def frozen_redis(darkroom: Darkroom) -> Iterator[None]:
    [pid] = darkroom.pids("valkey")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def await_idle_pod(darkroom: Darkroom) -> None:
    wait_for(lambda: darkroom.pods(f"{LABEL_RUNNER_STATE}={IDLE}"), "idle pod")


@pytest.mark.timeout(600)
def test_redis_lost_in_the_middle_of_a_handover(start_darkroom: Callable[[], Darkroom]) -> None:
    darkroom = start_darkroom()
    apply_pictures(darkroom, {"first": "a red circle"})
    darkroom.wait_for_phase("first", "Succeeded")
    await_idle_pod(darkroom)

    with frozen_redis(darkroom):
        apply_pictures(darkroom, {"second": "a blue square", "third": "a green heart"})
        darkroom.wait_for_phase("second", "Succeeded")
        darkroom.wait_for_phase("third", "Starting", "Running")
    darkroom.wait_for_phase("third", "Succeeded")
    await_idle_pod(darkroom)
    apply_pictures(darkroom, {"fourth": "a red star"})
    darkroom.wait_for_phase("fourth", "Succeeded")

    starts = {name: status_of(darkroom, name)["runStart"] for name in ("first", "second", "third", "fourth")}
    assert starts == {"first": "Cold", "second": "Warm", "third": "Cold", "fourth": "Warm"}
    assert {status_of(darkroom, name)["attempts"] for name in starts} == {1}
    assert [run.labels[LABEL_JOB_NAME] for run in darkroom.record()] == list(starts)
    assert overlapping_runs(darkroom.record()) == []


def test_operator_lost_in_the_middle_of_a_handover(start_darkroom: Callable[[], Darkroom]) -> None:
    """The operator is killed as the second job starts; its successor continues from the Lease, the pod and the job."""
    darkroom = start_darkroom()
    apply_pictures(darkroom, {"first": "a red circle"})
    darkroom.wait_for_phase("first", "Succeeded")
    await_idle_pod(darkroom)

    [operator] = darkroom.pids("darkroom_operator")
    apply_pictures(darkroom, {"second": "a blue square"})
    wait_for(lambda: status_of(darkroom, "second").get("slot") is not None, "the second job has the slot", 60)
    os.kill(operator, signal.SIGKILL)

    darkroom.wait_for_phase("second", "Succeeded")
    assert overlapping_runs(darkroom.record()) == []
    assert len(darkroom.runs_of("second")) == status_of(darkroom, "second")["attempts"]
