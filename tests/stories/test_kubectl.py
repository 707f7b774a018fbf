"""kubectl alone: apply the examples, get, describe, wait, read logs, delete."""

import os

import pytest
from support.darkroom_up import REPOSITORY, Darkroom, wait_for

EXAMPLES = REPOSITORY / "examples"


@pytest.fixture(scope="module")
def circles(darkroom: Darkroom) -> str:
    """The example of four pictures, applied and complete."""
    applied = darkroom.kubectl("apply", "-f", str(REPOSITORY / "examples" / "generate.yaml"))
    assert "generatejob.darkroom.dev/circles created" in applied
    darkroom.kubectl("wait", "--for=condition=Complete", "generatejob/circles", "--timeout=110s")
    return "circles"


def test_every_example_is_accepted(darkroom: Darkroom) -> None:
    jobs = sum(path.read_text(encoding="utf-8").count("\nkind: ") for path in EXAMPLES.glob("*.yaml"))
    output = darkroom.kubectl("apply", "--dry-run=server", "-f", str(EXAMPLES))
    assert output.count("created (server dry run)") == jobs


def test_columns_show_the_state(darkroom: Darkroom, circles: str) -> None:
    header, row = darkroom.kubectl("get", "generatejob", circles).splitlines()
    assert header.split() == ["NAME", "PHASE", "POSITION", "STARTS", "PROGRESS", "ETA", "MODEL", "AGE"]
    assert row.split()[:3] == ["circles", "Succeeded", "100"]


def test_the_category_shows_both_kinds(darkroom: Darkroom, circles: str) -> None:
    assert f"generatejob.darkroom.dev/{circles}" in darkroom.kubectl("get", "darkroom", "-o", "name")


def test_describe_shows_the_reason(darkroom: Darkroom, circles: str) -> None:
    output = darkroom.kubectl("describe", "generatejob", circles)
    assert "Complete" in output
    assert "runs/" in output


@pytest.mark.skipif(
    "KUBECONFIG" in os.environ, reason="a real API server talks TLS to kubelets, which the local node lacks"
)
def test_the_log_of_a_run_can_be_read(darkroom: Darkroom, circles: str) -> None:
    pod = darkroom.resource("generatejob", circles)["status"]["podName"]
    assert "succeeded with 4 files" in darkroom.kubectl("logs", pod)


def test_explain_reads_like_documentation(darkroom: Darkroom) -> None:
    assert "Number of images." in darkroom.kubectl("explain", "generatejobs.darkroom.dev.spec.images.count")


def test_deleting_a_job_deletes_its_pod(darkroom: Darkroom, circles: str) -> None:
    pod = darkroom.resource("generatejob", circles)["status"]["podName"]
    darkroom.kubectl("delete", "generatejob", circles)
    wait_for(lambda: "not found" in darkroom.kubectl("get", "pod", pod, check=False), "the pod is gone")
    assert "not found" in darkroom.kubectl("get", "generatejob", circles, check=False)


def test_suspended_training_stops_and_resumes_where_it_was(darkroom: Darkroom) -> None:
    task_id = darkroom.train(prompt="a photo of sks star", model_id="paused-star", max_steps=150)
    wait_for(lambda: _steps(darkroom, task_id) >= 10, "ten steps are taken")

    darkroom.kubectl("patch", "trainjob", task_id, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    darkroom.wait_for_phase(task_id, "Suspended")
    wait_for(lambda: not [run for run in darkroom.record() if run.ended is None], "its process is gone")

    darkroom.kubectl("patch", "trainjob", task_id, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    job = darkroom.wait_for_phase(task_id, "Succeeded")
    assert job["attempts"] == 2
    assert job["progress"]["metrics"]["resumed_from_step"] >= 10
    assert darkroom.resource("trainjob", task_id)["status"].get("failures", 0) == 0
    logs = [darkroom.http.get(f"/jobs/{task_id}/log", params={"attempt": attempt}).text for attempt in (1, 2)]
    assert "saved the checkpoint of step" in logs[0]
    assert "resuming from step" in logs[1]


def _steps(darkroom: Darkroom, task_id: str) -> int:
    progress = darkroom.job(task_id).get("progress") or {}
    return int(progress["step"]) if progress.get("stage") == "Training" else 0
