"""Twenty pictures, submitted at once: one pod draws them all, one after the other, and each job has its own result."""

import pytest
from support.darkroom_up import Darkroom, wait_for
from support.warm_jobs import apply_pictures, digest, status_of

from darkroom_contract.names import LABEL_JOB_NAME
from darkroom_local.node.journal import overlapping_runs

COUNT = 20
NAMES = [f"one-of-{COUNT}-{number}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def drawn(darkroom: Darkroom) -> Darkroom:
    """The first and the last job draw the same picture."""
    prompts = ["a red circle" if name in (NAMES[0], NAMES[-1]) else f"a blue square, number {name}" for name in NAMES]
    apply_pictures(darkroom, dict(zip(NAMES, prompts, strict=True)))
    for name in NAMES:
        darkroom.wait_for_phase(name, "Succeeded")
    return darkroom


def test_kubectl_shows_whose_run_was_in_the_pod_and_that_it_is_idle(drawn: Darkroom) -> None:
    [run] = [run for run in drawn.record() if run.labels[LABEL_JOB_NAME] == NAMES[-1]]
    columns = "darkroom.dev/job-name,darkroom.dev/runner-state"

    def shown() -> list[str]:
        rows = drawn.kubectl("get", "pods", "-L", columns).splitlines()
        return next(row for row in rows if run.pod_name in row).split()[-2:]

    # The pod is marked once the success of its job is recorded.
    wait_for(lambda: shown() == [NAMES[-1], "idle"], "the pod is shown as idle")


def test_one_pod_draws_all_of_them_in_order_and_one_at_a_time(drawn: Darkroom) -> None:
    runs = [run for run in drawn.record() if run.labels[LABEL_JOB_NAME] in NAMES]

    assert [run.labels[LABEL_JOB_NAME] for run in runs] == NAMES
    assert len({run.pod_uid for run in runs}) == 1
    assert overlapping_runs(runs) == []
    assert {status_of(drawn, name)["podUid"] for name in NAMES} == {runs[0].pod_uid}


def test_all_but_the_first_start_warm(drawn: Darkroom) -> None:
    assert {status_of(drawn, name)["runStart"] for name in NAMES[1:]} == {"Warm"}
    assert {drawn.job(name)["run_start"] for name in NAMES[1:]} == {"Warm"}
    assert {status_of(drawn, name)["attempts"] for name in NAMES} == {1}


def test_equal_jobs_have_equal_pictures(drawn: Darkroom) -> None:
    assert digest(drawn, NAMES[0]) == digest(drawn, NAMES[-1])
    assert len({digest(drawn, name) for name in NAMES[:-1]}) == COUNT - 1


def test_each_job_has_its_own_log(drawn: Darkroom) -> None:
    for name, other in ((NAMES[3], NAMES[4]), (NAMES[4], NAMES[3])):
        log = drawn.http.get(f"/jobs/{name}/log")
        assert log.status_code == 200
        assert name in log.text
        assert other not in log.text


def test_deleting_an_earlier_job_leaves_its_pod_to_the_next(drawn: Darkroom) -> None:
    apply_pictures(drawn, {"earlier": "a green heart", "later": "a yellow star"})
    drawn.wait_for_phase("later", "Starting", "Running", "Succeeded")
    pod_name = status_of(drawn, "earlier")["podName"]

    drawn.kubectl("delete", "generatejob", "earlier", "--wait")
    drawn.wait_for_phase("later", "Succeeded")

    later = status_of(drawn, "later")
    assert (later["podName"], later["runStart"], later["attempts"]) == (pod_name, "Warm", 1)
