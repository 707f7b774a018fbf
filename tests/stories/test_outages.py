"""A server dies while a job runs: what may be missing is missed, what must not be lost is tried again."""

import os
import signal
from collections.abc import Callable

from support.darkroom_up import Darkroom, wait_for


def test_a_run_does_not_notice_that_redis_and_the_operator_died(start_darkroom: Callable[[], Darkroom]) -> None:
    darkroom = start_darkroom()
    task_id = darkroom.generate(prompt="a red circle", steps=40, cache_profile="Disabled")
    darkroom.wait_for_phase(task_id, "Running")

    _kill(darkroom, "valkey")
    _kill(darkroom, "darkroom_operator.main")

    assert darkroom.wait_for_phase(task_id, "Succeeded")["attempts"] == 1
    assert len(darkroom.record()) == 1


def test_a_run_that_its_node_took_along_is_run_again(start_darkroom: Callable[[], Darkroom]) -> None:
    darkroom = start_darkroom()
    task_id = darkroom.generate(prompt="a red circle", steps=40, cache_profile="Disabled")
    darkroom.wait_for_phase(task_id, "Running")

    _kill(darkroom, "darkroom_local.node")

    job = darkroom.wait_for_phase(task_id, "Succeeded")
    assert job["attempts"] == 2
    assert [run.exit_code for run in darkroom.record()][-1] == 0


def _kill(darkroom: Darkroom, word: str) -> None:
    """SIGKILL to the one part whose command line has the word in it."""
    [pid] = wait_for(lambda: darkroom.pids(word), f"{word} runs", 20)
    os.kill(pid, signal.SIGKILL)
