"""An operator on a machine with a wrong clock: deadlines and timestamps follow the API server's clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.operator_processes import Namespace
from support.server_process import Process

WRONG = """\
import datetime, time
_right_time, _Right = time.time, datetime.datetime

class _Wrong(_Right):
    @classmethod
    def now(cls, tz=None):
        return _Right.now(tz) + datetime.timedelta(seconds={seconds})

time.time = lambda: _right_time() + {seconds}
datetime.datetime = _Wrong
"""
"""A `sitecustomize` module: Python imports it before anything else."""


@pytest.fixture
def start_wrong_operator(start_operator: Callable[..., Process], tmp_path: Path) -> Callable[[int], Process]:
    def start(seconds: int) -> Process:
        (tmp_path / "sitecustomize.py").write_text(WRONG.format(seconds=seconds))
        return start_operator(PYTHONPATH=str(tmp_path))

    return start


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("seconds", [900, -900], ids=["a quarter of an hour ahead", "a quarter of an hour behind"])
def test_a_job_runs_normally_and_its_timestamps_are_right(
    namespace: Namespace, start_wrong_operator: Callable[[int], Process], seconds: int
) -> None:
    start_wrong_operator(seconds)
    namespace.create_job("a", backoffLimit=0, activeDeadlineSeconds=300)
    pod = namespace.wait_for_pod("a")
    namespace.run_pod(pod)
    running = namespace.wait_for_phase("a", "Running")
    namespace.finish_pod(pod)
    done = namespace.wait_for_phase("a", "Succeeded")
    assert (done["attempts"], done.get("failures", 0)) == (1, 0)
    now = datetime.now(UTC)
    for name in ("startTime", "runStartTime", "completionTime"):
        assert abs(now - moment({**running, **done}[name])) < timedelta(seconds=60), name


def test_a_deadline_is_enforced_in_time_although_the_clock_is_behind(
    namespace: Namespace, start_wrong_operator: Callable[[int], Process]
) -> None:
    start_wrong_operator(-900)
    namespace.create_job("a", backoffLimit=0, startDeadlineSeconds=2)
    namespace.wait_for_phase("a", "Failed")
    assert "StartDeadlineExceeded" in namespace.condition("a", "Failed")["message"]


def test_a_node_with_a_wrong_clock_ends_no_run(namespace: Namespace, operator: Process) -> None:
    namespace.create_job("a", backoffLimit=0, activeDeadlineSeconds=300)
    pod = namespace.wait_for_pod("a")
    namespace.run_pod(pod)
    past = (datetime.now(UTC) - timedelta(minutes=15)).isoformat(timespec="seconds").replace("+00:00", "Z")
    [status] = namespace.pods()[0]["status"]["containerStatuses"]
    namespace.set_pod_status(pod, containerStatuses=[{**status, "state": {"running": {"startedAt": past}}}])
    namespace.wait_for_phase("a", "Running")
    namespace.create_job("b")
    namespace.wait_for_phase("b", "Queued")
    assert namespace.condition("a", "PodReady")["reason"] == "Running"
    assert all("deletionTimestamp" not in each["metadata"] for each in namespace.pods())
    namespace.finish_pod(pod)
    assert namespace.wait_for_phase("a", "Succeeded")["attempts"] == 1
