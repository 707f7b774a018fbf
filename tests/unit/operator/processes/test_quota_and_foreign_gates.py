"""What can delay a run, with a real API server: a full quota, and a scheduling gate of another controller such as
Kueue."""

from collections.abc import Callable

from support.operator_processes import Namespace, wait_until
from support.server_process import Process

from darkroom_contract.jobs import read_job
from darkroom_contract.names import Kind, slot_lease_name
from darkroom_operator.pods.builder import runner_pod
from darkroom_operator.settings import Settings

KUEUE = {"name": "kueue.x-k8s.io/admission"}


def test_a_pod_that_exceeds_a_quota_is_retried(namespace: Namespace, operator: Process) -> None:
    spec = {"hard": {"pods": "1"}}
    namespace.create_object("resourcequotas", {"metadata": {"name": "one-pod"}, "spec": spec})
    namespace.create_foreign_pod("stranger")
    namespace.create_job("a", backoffLimit=0)
    wait_until(lambda: namespace.condition("a", "Admitted").get("reason") == "QuotaExceeded", "the reason is shown")
    assert "exceeded quota: one-pod, requested: pods=1" in namespace.condition("a", "Admitted")["message"]
    assert namespace.status("a")["phase"] == "Queued"
    namespace.delete("pods", "stranger")
    namespace.create_job("b", priority=-1)  # Of two that were made in the same second, either may be first.
    namespace.finish_pod(namespace.wait_for_pod("a"))
    namespace.finish_pod(namespace.wait_for_pod("b"))
    namespace.wait_for_phase("b", "Succeeded")
    assert namespace.status("a")["phase"] == "Succeeded"


def test_only_our_gate_is_removed_and_the_status_names_the_other(
    namespace: Namespace, start_operator: Callable[..., Process]
) -> None:
    """The pod exists already, with the gate that a webhook would have added."""
    job = read_job({**namespace.create_job("a"), "kind": Kind.GENERATE.value})
    pod = runner_pod(job, 1, 0, Settings(runner_image="x", gpu_count=0))
    pod["spec"]["schedulingGates"].append(KUEUE)
    namespace.create_lease(slot_lease_name(0))
    namespace.create_object("pods", pod)
    start_operator()
    wait_until(lambda: KUEUE["name"] in namespace.condition("a", "PodReady").get("message", ""), "the gate is named")
    [found] = namespace.pods()
    assert found["spec"]["schedulingGates"] == [KUEUE]
    assert namespace.status("a")["podUid"] == found["metadata"]["uid"]
