"""Reading pods as schedulers, kubelets, evictions and lost nodes leave them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from support.operator_snapshots import a_job

from darkroom_operator.pods.builder import runner_pod
from darkroom_operator.pods.runner_pod import RunnerPod, read_pod
from darkroom_operator.settings import Settings

STARTED = "2026-11-25T12:00:05Z"
RUNNING = {"running": {"startedAt": STARTED}}


def pod(*, gated: bool = False, deleted: bool = False, **status: Any) -> RunnerPod:
    document = runner_pod(a_job("a"), 1, 0, Settings(runner_image="x"))
    document["metadata"] |= {"uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-11-25T12:00:00Z"}
    if deleted:
        document["metadata"]["deletionTimestamp"] = "2026-11-25T12:01:00Z"
    if not gated:
        del document["spec"]["schedulingGates"]
    return read_pod({**document, "status": status})


def container(state: dict[str, Any], name: str = "runner") -> list[dict[str, Any]]:
    return [{"name": name, "state": state}]


def ended(exit_code: int, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": exit_code, "startedAt": STARTED, "finishedAt": STARTED, **more}}


def test_a_gated_pod_is_not_active() -> None:
    found = pod(gated=True, phase="Pending")
    assert (found.gated, found.active, found.terminated) == (True, False, False)


def test_an_ungated_pod_is_active_before_any_container_runs() -> None:
    assert pod(phase="Pending").active


def test_a_pod_with_a_foreign_gate_is_active_and_names_the_gate() -> None:
    document = runner_pod(a_job("a"), 1, 0, Settings(runner_image="x"))
    document["metadata"] |= {"uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-11-25T12:00:00Z"}
    document["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
    found = read_pod(document)
    assert (found.gated, found.foreign_gates, found.active) == (False, ("kueue.x-k8s.io/admission",), True)
    assert "remove the scheduling gate kueue.x-k8s.io/admission" in found.pending_reason


def test_a_running_pod_has_its_start_time() -> None:
    found = pod(phase="Running", containerStatuses=container(RUNNING), conditions=[{"type": "Ready", "status": "True"}])
    assert found.started == datetime(2026, 11, 25, 12, 0, 5, tzinfo=UTC)
    assert (found.ready, found.active, found.node_lost) == (True, True, False)


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]},
            "Unschedulable",
            "0/3",
        ),
        (
            {"containerStatuses": container({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})},
            "ImagePullBackOff",
            "no such image",
        ),
        ({"containerStatuses": container({"waiting": {"reason": "ContainerCreating"}})}, "ContainerCreating", ""),
        ({}, "", ""),
    ],
    ids=["no node", "no image", "being made", "nothing known"],
)
def test_the_pending_reason_comes_from_the_most_specific_source(
    status: dict[str, Any], reason: str, message: str
) -> None:
    found = pod(phase="Pending", **status)
    assert (found.waiting_reason, found.waiting_message, found.active) == (reason, message, True)


def test_success_has_the_termination_message() -> None:
    found = pod(phase="Succeeded", containerStatuses=container(ended(0, message="{}", reason="Completed")))
    assert (found.terminated, found.exit_code, found.termination_message) == (True, 0, "{}")


def test_an_oom_kill_has_its_reason() -> None:
    found = pod(phase="Failed", containerStatuses=container(ended(137, reason="OOMKilled")))
    assert (found.terminated, found.exit_code, found.exit_reason) == (True, 137, "OOMKilled")


def test_an_evicted_pod_is_terminated_without_any_container_and_has_its_own_reason() -> None:
    found = pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    assert (found.terminated, found.waiting_reason) == (True, "Evicted")
    assert found.waiting_message == "The node was low on resource: memory."


def test_a_pod_on_an_unreachable_node_is_lost_and_still_active() -> None:
    conditions = [{"type": "Ready", "status": "False", "reason": "NodeStatusUnknown"}]
    found = pod(phase="Running", conditions=conditions, containerStatuses=container(RUNNING))
    assert (found.node_lost, found.active) == (True, True)


def test_a_pod_that_was_set_to_failed_remotely_is_not_terminated_while_its_container_was_last_seen_running() -> None:
    found = pod(phase="Failed", reason="NodeLost", containerStatuses=container(RUNNING), deleted=True)
    assert (found.terminated, found.active, found.deleting) == (False, True, True)


def test_only_the_runner_container_counts() -> None:
    assert pod(phase="Running", containerStatuses=container(ended(0), name="sidecar")).exit_code is None


@pytest.mark.parametrize(
    "labels",
    [{}, {"darkroom.dev/attempt": "one"}, {"darkroom.dev/slot": None}, {"darkroom.dev/job-kind": "Pod"}],
    ids=["none", "no number", "one missing", "no kind of ours"],
)
def test_labels_of_another_pod_are_rejected(labels: dict[str, str | None]) -> None:
    document = runner_pod(a_job("a"), 1, 0, Settings(runner_image="x"))
    document["metadata"] |= {"uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-11-25T12:00:00Z"}
    edited = document["metadata"]["labels"] | labels if labels else {}
    document["metadata"]["labels"] = {name: value for name, value in edited.items() if value is not None}
    with pytest.raises((KeyError, ValueError)):
        read_pod(document)


NO_REASON = [{"type": "Ready", "status": "False"}]
TARGET = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


class TestUnreachableNode:
    def test_kubernetes_sets_ready_to_false_without_a_reason(self) -> None:
        assert pod(phase="Running", containerStatuses=container(RUNNING), conditions=NO_REASON).node_lost

    @pytest.mark.parametrize(
        "status",
        [
            {"containerStatuses": container(RUNNING), "conditions": [{**NO_REASON[0], "reason": "ContainersNotReady"}]},
            {"containerStatuses": container(ended(0)), "conditions": NO_REASON},
            {"containerStatuses": container({"waiting": {}}), "conditions": NO_REASON},
            {"containerStatuses": container(RUNNING), "conditions": [{"type": "Ready", "status": "True"}]},
        ],
        ids=["a kubelet gives one", "ended", "not started", "ready"],
    )
    def test_otherwise_the_node_is_reachable(self, status: dict[str, Any]) -> None:
        assert not pod(phase="Running", **status).node_lost

    def test_the_node_stays_lost_while_the_pod_is_being_deleted(self) -> None:
        found = pod(deleted=True, phase="Running", containerStatuses=container(RUNNING), conditions=NO_REASON)
        assert (found.node_lost, found.deleting) == (True, True)
        assert found.deletion_deadline == datetime(2026, 11, 25, 12, 1, tzinfo=UTC)


class TestDisruption:
    @pytest.mark.parametrize(
        ("status", "message"),
        [
            ({"conditions": [TARGET]}, "EvictionByEvictionAPI: Eviction API: evicting"),
            ({"conditions": [{**TARGET, "status": "False"}]}, ""),
            ({"reason": "NodeShutdown", "message": "Node is shutting down"}, "NodeShutdown: Node is shutting down"),
            ({"reason": "Preempting"}, "Preempting"),
            ({"reason": "NodeRestarted", "message": "lost"}, "NodeRestarted: lost"),
            (
                {"containerStatuses": container(ended(137, reason="ContainerStatusUnknown"))},
                "ContainerStatusUnknown",
            ),
            ({"reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds the total limit"}, ""),
            ({}, ""),
        ],
    )
    def test_it_has_reason_and_message_of_whatever_ended_the_pod(self, status: dict[str, Any], message: str) -> None:
        assert pod(phase="Failed", **status).disruption == message


class TestSidecar:
    def test_a_pod_whose_run_has_ended_is_not_terminated_while_a_sidecar_runs(self) -> None:
        both = [*container(ended(0)), *container(RUNNING, "istio-proxy")]
        found = pod(phase="Running", containerStatuses=both)
        assert (found.run_ended, found.sidecar_running, found.terminated) == (True, True, False)

    def test_a_native_sidecar_counts_too(self) -> None:
        statuses = {"containerStatuses": container(ended(0)), "initContainerStatuses": container(RUNNING, "proxy")}
        assert pod(phase="Running", **statuses).sidecar_running

    def test_a_runner_alone_has_no_sidecar(self) -> None:
        found = pod(phase="Running", containerStatuses=container(RUNNING))
        assert (found.run_ended, found.sidecar_running) == (False, False)
