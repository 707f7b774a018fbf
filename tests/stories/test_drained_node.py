"""The node is drained three times during a training: it continues each time, and no drain counts as a failure."""

from typing import Any

import pytest
from support.darkroom_up import PHOTOS, Darkroom, wait_for

from darkroom_contract.names import LABEL_JOB_NAME
from darkroom_local.node.journal import overlapping_runs

DRAINS = 3
STEPS = 120


@pytest.mark.timeout(900)
def test_training_survives_three_drains(darkroom: Darkroom) -> None:
    task_id = darkroom.train(PHOTOS[:2], prompt="a photo of sks star", model_id="drained", max_steps=STEPS, rank=4)
    reached = 0
    for attempt in range(1, DRAINS + 1):
        progress = wait_for(
            lambda n=attempt, step=reached: _progress(darkroom, task_id, n, step), "the training continues"
        )
        reached = progress["step"]
        assert reached < STEPS, "the training is too short for this story"
        _drain(darkroom, task_id)

    job = darkroom.wait_for_phase(task_id, "Succeeded")

    status = darkroom.resource("trainjob", task_id)["status"]
    assert (job["attempts"], status.get("failures", 0), status["interruptions"]) == (DRAINS + 1, 0, DRAINS)
    assert status["progress"]["metrics"]["resumedFromStep"] >= reached
    runs = darkroom.runs_of(task_id)
    assert len(runs) == DRAINS + 1
    assert runs[-1].exit_code in (None, 0)  # The process may wait for another job.
    assert overlapping_runs(darkroom.record()) == []


def _progress(darkroom: Darkroom, task_id: str, attempt: int, beyond: int) -> dict[str, Any] | None:
    """Progress of this attempt, once it trains. It resumes where the last attempt stopped."""
    job = darkroom.job(task_id)
    progress: dict[str, Any] = job.get("progress") or {}
    if job["attempts"] != attempt or job["phase"] != "Running" or progress.get("stage") != "Training":
        return None
    step = progress.get("step") or 0
    return progress if step > beyond + 1 else None


def _drain(darkroom: Darkroom, task_id: str) -> None:
    """As an administrator does; on a shared cluster only the pods of this job."""
    [pod] = [each for each in darkroom.pods_of(task_id) if each["spec"].get("nodeName")]
    node = pod["spec"]["nodeName"]
    options = ("--delete-emptydir-data", "--ignore-daemonsets", f"--pod-selector={LABEL_JOB_NAME}={task_id}")
    output = darkroom.kubectl("drain", node, "--timeout=90s", *options)
    assert f"pod/{pod['metadata']['name']} evicted" in output
    darkroom.kubectl("uncordon", node)
