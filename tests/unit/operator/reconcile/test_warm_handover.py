"""Warm hand-over on a simulated API: whole stories, with the requests of the real executor."""

from collections.abc import Coroutine
from typing import Any

import pytest
from support.reconcile_stage import LEASE, WARM, WarmStage
from support.simulated_operator import SimulatedOperator
from support.simulated_user import GENERATE

from darkroom_contract.handover import IDLE, LABEL_RUNNER_STATE
from darkroom_contract.names import LABEL_JOB_NAME
from darkroom_operator.reconcile.actions import VerifyPods


@pytest.fixture
def warm() -> WarmStage:
    return WarmStage()


def test_three_jobs_run_in_one_pod(warm: WarmStage) -> None:
    for name in ("a", "b", "c"):
        warm.user.create(name)
    pods = []
    for name in ("a", "b", "c"):
        pods.append(warm.run())
        assert (warm.phase(name), warm.labels(pods[-1])[LABEL_JOB_NAME]) == ("Running", name)
        warm.report(pods[-1])
    warm.rest()
    assert len(set(pods)) == 1
    assert [warm.phase(name) for name in ("a", "b", "c")] == ["Succeeded"] * 3
    assert [warm.status(name)["runStart"] for name in ("a", "b", "c")] == ["Cold", "Warm", "Warm"]
    assert (warm.starts("cold"), warm.starts("warm")) == (1, 2)


def test_idle_pod_is_labelled_and_waits_in_a_free_slot(warm: WarmStage) -> None:
    warm.user.create("a")
    pod = warm.run()
    warm.report(pod)
    assert warm.rest() == [pod]
    lease = warm.api.get("leases", LEASE)
    assert warm.labels(pod)[LABEL_RUNNER_STATE] == IDLE
    assert "holderIdentity" not in lease["spec"]
    uid = warm.api.get("pods", pod)["metadata"]["uid"]
    assert lease["metadata"]["annotations"] == {"darkroom.dev/idle-pod-uid": uid, "darkroom.dev/pod": pod}
    warm.user.create("b")
    assert warm.run() == pod
    assert LABEL_RUNNER_STATE not in warm.labels(pod)
    assert "darkroom.dev/idle-pod-uid" not in warm.api.get("leases", LEASE)["metadata"]["annotations"]
    [owner] = warm.api.get("pods", pod)["metadata"]["ownerReferences"]
    assert owner["name"] == "b"


def test_idle_pod_that_leaves_makes_room_for_a_new_one(warm: WarmStage) -> None:
    warm.user.create("a")
    pod = warm.run()
    warm.report(pod, warm.rest)
    warm.node.poll(pod)
    warm.node.leave(pod)
    warm.user.create("b")
    assert warm.rest() == [warm.status("b")["podName"]] != [pod]
    assert warm.status("b")["runStart"] == "Cold"
    assert (warm.phase("a"), warm.phase("b")) == ("Succeeded", "Starting")


@pytest.mark.parametrize("requests", range(9))
def test_process_that_leaves_between_any_two_requests_costs_no_attempt_of_the_next_job(
    warm: WarmStage, requests: int
) -> None:
    """The next job runs in a new pod, and its success is its own."""
    warm.user.create("a")
    pod = warm.run()
    warm.user.create("b", backoffLimit=0)
    warm.report(pod)
    warm.operator.step(2 * requests)
    warm.node.leave(pod)
    [other] = warm.rest()
    assert other != pod
    warm.node.start(other)
    warm.node.succeed(other)
    warm.rest()
    status = warm.status("b")
    assert (status["phase"], status.get("failures", 0), status.get("interruptions", 0)) == ("Succeeded", 0, 0)
    assert status["artifacts"][0]["key"].startswith(f"runs/{warm.api.get(GENERATE, 'b')['metadata']['uid']}/")


@pytest.mark.parametrize("requests", range(10))
def test_operator_that_dies_between_any_two_requests_is_succeeded_by_another(warm: WarmStage, requests: int) -> None:
    warm.user.create("a")
    pod = warm.run()
    warm.user.create("b")
    warm.report(pod)
    warm.operator.step(2 * requests)
    warm.operator.crash()
    warm.operator.read_outcomes(warm.node.published)
    assert warm.run() == pod
    assert (warm.phase("a"), warm.phase("b")) == ("Succeeded", "Running")
    runner = warm.node.runner(pod)
    assert runner is not None
    assert runner.run == (warm.api.get(GENERATE, "b")["metadata"]["uid"], 1)


def test_lost_redis_costs_only_the_warm_start(warm: WarmStage) -> None:
    """Nobody reads the outcome: the process ends with it in its termination message."""
    warm.user.create("a")
    pod = warm.run()
    warm.user.create("b")
    warm.node.report(pod)
    assert warm.rest() == [pod]
    assert warm.phase("a") == "Running"
    warm.node.leave(pod)
    [other] = warm.rest()
    assert other != pod
    assert (warm.phase("a"), warm.phase("b"), warm.status("b")["runStart"]) == ("Succeeded", "Starting", "Cold")


def test_changed_template_replaces_the_idle_pod(warm: WarmStage) -> None:
    warm.user.create("a")
    pod = warm.run()
    warm.report(pod, warm.rest)
    upgraded = SimulatedOperator(warm.api, **WARM, gpu_count=2)
    upgraded.rest()
    assert "deletionTimestamp" in warm.api.get("pods", pod)["metadata"]
    warm.user.create("b")
    upgraded.rest()
    assert warm.node.live() == [pod]
    warm.node.remove_deleted()
    upgraded.rest()
    assert warm.node.live() == [warm.status("b")["podName"]] != [pod]


def test_warm_seconds_of_zero_replace_the_idle_pod(warm: WarmStage) -> None:
    warm.user.create("a")
    pod = warm.run()
    warm.report(pod, warm.rest)
    SimulatedOperator(warm.api, **WARM, warm_seconds=0.0).rest()
    assert "deletionTimestamp" in warm.api.get("pods", pod)["metadata"]


def test_pod_that_another_controller_has_gated_takes_over_no_run(warm: WarmStage) -> None:
    """The gate is gone by then; an annotation shows it to a new operator."""
    warm.api.added_gate = "kueue.x-k8s.io/admission"
    warm.user.create("a")
    pod = warm.run()
    warm.operator.crash()
    warm.user.create("b")
    warm.report(pod, warm.rest)
    assert "deletionTimestamp" in warm.api.get("pods", pod)["metadata"]
    assert warm.phase("a") == "Succeeded"


def test_deleted_job_takes_its_idle_pod_with_it(warm: WarmStage) -> None:
    warm.user.create("a")
    pod = warm.run()
    warm.report(pod, warm.rest)
    warm.api.delete(GENERATE, "a")
    warm.rest()
    assert "deletionTimestamp" in warm.api.get("pods", pod)["metadata"]


def test_deleted_lease_does_not_let_a_second_pod_run_beside_the_idle_one(warm: WarmStage) -> None:
    warm.user.create("a")
    pod = warm.run()
    warm.report(pod, warm.rest)
    warm.api.delete("leases", LEASE)
    warm.user.create("b")
    assert warm.rest() == [pod]
    warm.node.remove_deleted()
    assert warm.rest() == [warm.status("b")["podName"]] != [pod]


def test_old_view_of_the_idle_pod_gives_no_run_twice(warm: WarmStage) -> None:
    """Two operators hand the same pod over to two jobs: one of them is refused."""
    late = SimulatedOperator(warm.api, **WARM)
    warm.user.create("a")
    pod = warm.run()
    warm.report(pod, warm.rest)
    warm.user.create("b")
    late.see_all()
    warm.user.create("c", priority=9)
    [running] = warm.rest()
    warm.node.poll(running)
    late.step(100)
    late.rest()
    warm.rest()
    assert warm.node.live() == [running] == [pod]
    runner = warm.node.runner(pod)
    assert runner is not None
    assert len(runner.begun) == len(set(runner.begun)) == 2
    phases = {name: warm.phase(name) for name in ("b", "c")}
    assert sorted(phases.values()) == ["Queued", "Running"]


def test_pod_that_another_job_has_taken_over_is_not_taken_for_deleted(warm: WarmStage) -> None:
    """An operator with old views lists the pods of the first job, and does not find it."""
    warm.user.create("a")
    pod = warm.run()
    late = SimulatedOperator(warm.api, **WARM)
    uids = {name: warm.api.get(kind, name)["metadata"]["uid"] for kind, name in ((GENERATE, "a"), ("pods", pod))}
    warm.user.create("b")
    warm.report(pod)
    warm.run()
    complete(late.executor.send(VerifyPods(uids["a"], uids[pod])))
    snapshot = late.cache.snapshot(warm.api.now, 1)
    assert uids[pod] not in snapshot.deleted
    assert snapshot.pods[uids[pod]].job_name == "b"
    late.rest()
    assert (warm.phase("b"), warm.status("b")["attempts"], warm.node.live()) == ("Running", 1, [pod])


def complete(request: Coroutine[Any, Any, None]) -> None:
    """Carry out a request without a pause."""
    for _ in range(100):
        try:
            request.send(None)
        except StopIteration:
            return
    raise AssertionError("the request does not end")
