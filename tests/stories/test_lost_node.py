"""The node of a run becomes unreachable and comes back: the job says what to do, and never runs twice at once."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.darkroom_up import Darkroom, wait_for
from support.injections import Change, injecting_darkroom
from support.warm_parent.installation import WarmParent

from darkroom_local.node.journal import overlapping_runs

TOLERATED_SECONDS = 8
"""Instead of five minutes: until the control plane deletes the pods of an unreachable node."""
GRACE_SECONDS = 15
"""Of the local API server; Kubernetes has 50. The node renews its lease every 10 s."""


@pytest.fixture
def changes() -> list[Change]:
    """Of each new runner pod: it is soon evicted from a lost node."""
    tolerations = [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": TOLERATED_SECONDS,
        }
        for state in ("unreachable", "not-ready")
    ]
    return [("/spec/tolerations", tolerations)]


@pytest.fixture
def impatient(tmp_path: Path, warm_cluster: WarmParent, changes: list[Change]) -> Iterator[Darkroom]:
    with injecting_darkroom(tmp_path, warm_cluster, changes, GRACE_SECONDS) as darkroom:
        yield darkroom


@pytest.mark.timeout(900)
def test_lost_node_is_reported_and_the_job_succeeds_once_it_is_back(impatient: Darkroom, changes: list[Change]) -> None:
    darkroom = impatient
    task_id = darkroom.generate(
        prompt="a red circle", steps=200, count=8, width=256, height=256, cache_profile="Disabled"
    )
    waiting = darkroom.generate(prompt="a blue circle", steps=1, width=64, height=64, cache_profile="Disabled")
    darkroom.wait_for_phase(task_id, "Running")
    [node], [drawing] = darkroom.part("node"), wait_for(darkroom.workers, "it draws")

    os.kill(node, signal.SIGSTOP)
    os.kill(drawing, signal.SIGSTOP)  # It would take a core until its node is back.
    try:
        lost = wait_for(lambda: _lost(darkroom, task_id), "the job says that its node is lost", 150)
        assert "deletionTimestamp" not in _pod(darkroom, task_id)["metadata"]
        assert "kubectl delete node" in lost
        wait_for(lambda: "deletionTimestamp" in _pod(darkroom, task_id)["metadata"], "the pod is being deleted")
        assert "kubectl delete node" in wait_for(lambda: _lost(darkroom, task_id), "the job still reports it")
        assert darkroom.job(waiting)["phase"] == "Queued"
        assert len(darkroom.record()) == 1
    finally:
        # On a busy machine the node may renew its lease late, which must not evict the pods that follow.
        changes.clear()
        os.kill(drawing, signal.SIGCONT)
        os.kill(node, signal.SIGCONT)

    darkroom.wait_for_phase(waiting, "Succeeded")
    wait_for(lambda: len(darkroom.runs_of(task_id)) == 2, "it is run again")
    darkroom.wait_for_phase(task_id, "Running")
    status = darkroom.resource("generatejob", task_id)["status"]
    assert (status["attempts"], status.get("failures", 0), status["interruptions"]) == (2, 0, 1)
    assert overlapping_runs(darkroom.record()) == []


def _pod(darkroom: Darkroom, task_id: str) -> dict[str, dict[str, object]]:
    [pod] = darkroom.pods_of(task_id)
    return pod


def _lost(darkroom: Darkroom, task_id: str) -> str | None:
    """What the job says of its lost node."""
    condition = darkroom.conditions("generatejob", task_id).get("PodReady", {})
    message: str = condition.get("message", "")
    return message if (condition.get("status"), condition.get("reason")) == ("Unknown", "NodeLost") else None
