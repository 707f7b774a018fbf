"""A server is killed while a job runs: optional parts may be missing, the run is retried when it must be."""

import os
import signal
from collections.abc import Callable

from support.darkroom_up import Darkroom, wait_for

from darkroom_local.node.journal import LOST


def test_run_continues_when_redis_and_the_operator_are_killed(start_darkroom: Callable[[], Darkroom]) -> None:
    darkroom = start_darkroom()
    task_id = darkroom.generate(prompt="a red circle", steps=40, cache_profile="Disabled")
    darkroom.wait_for_phase(task_id, "Running")

    _kill(darkroom, "redis")
    _kill(darkroom, "operator")

    assert darkroom.wait_for_phase(task_id, "Succeeded")["attempts"] == 1
    assert len(darkroom.record()) == 1


def test_run_that_died_with_its_node_is_retried(start_darkroom: Callable[[], Darkroom]) -> None:
    darkroom = start_darkroom()
    task_id = darkroom.generate(prompt="a red circle", steps=40, cache_profile="Disabled")
    darkroom.wait_for_phase(task_id, "Running")

    _kill(darkroom, "node")

    job = darkroom.wait_for_phase(task_id, "Succeeded")
    assert job["attempts"] == 2
    assert [run.note for run in darkroom.record()] == [LOST, ""]


def _kill(darkroom: Darkroom, part: str) -> None:
    """SIGKILL to the one process of a part of the cluster."""
    [pid] = wait_for(lambda: darkroom.part(part), f"{part} runs", 20)
    os.kill(pid, signal.SIGKILL)
