"""Behaviour of kubelets and of the node lifecycle controller that the operator relies on.

Tested with the local node on every cluster, and with the cluster's own nodes if DARKROOM_CONFORMANCE_IMAGE names an
image with a shell (busybox). Lost nodes are always local ones, because tests can freeze these.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.kube_api import Api, Json, ok
from support.local_node import NodeUnderTest
from support.waiting import waiter

IMAGE = os.environ.get("DARKROOM_CONFORMANCE_IMAGE", "")
KINDS = ["local", *(["cluster"] if IMAGE and os.environ.get("KUBECONFIG") else [])]
TIMEOUT_SECONDS = 120.0
"""Kubernetes needs 50 s to mark a node as unresponsive, and pulls an image."""
SLEEP = "sleep 600"
OBEDIENT = "trap 'exit 3' TERM; echo ready; while true; do sleep 0.1; done"

wait_until = waiter(TIMEOUT_SECONDS)


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, api: Api, name: str) -> Iterator[Callable[..., str]]:
    """Creates a pod whose containers each run a shell command; deletes it after the test."""
    node = request.getfixturevalue("local_node").name if request.param == "local" else None
    yield lambda containers, init=(), **spec: a_pod(api, name, node, containers, init, **spec)
    api.delete("pods", name, gracePeriodSeconds=0)
    api.wait_gone("pods", name)


def a_pod(api: Api, name: str, node: str | None, containers: Json, init: Any = (), **spec: Any) -> str:
    spec |= {"restartPolicy": "Never", "automountServiceAccountToken": False}
    spec |= {"terminationGracePeriodSeconds": spec.get("terminationGracePeriodSeconds", 2)}
    spec["containers"] = [a_container(each, line) for each, line in containers.items()]
    spec["initContainers"] = [a_container(each, line, **more) for each, line, more in init]
    if node is not None:
        spec["nodeName"] = node
    api.made("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    return name


def a_container(name: str, line: str, **more: Any) -> Json:
    return {"name": name, "image": IMAGE or "registry.invalid/none:1", "command": ["sh", "-c", line], **more}


def condition(document: Json, kind: str) -> Json:
    return next((dict(each) for each in document["status"].get("conditions") or [] if each["type"] == kind), {})


def states(pod: Json) -> dict[str, str]:
    shown = [*pod["status"].get("initContainerStatuses", []), *pod["status"].get("containerStatuses", [])]
    return {each["name"]: next(iter(each["state"])) for each in shown}


def await_phase(api: Api, name: str, phase: str) -> Json:
    def reached() -> Json | None:
        pod = api.read("pods", name)
        return pod if pod["status"].get("phase") == phase else None

    found: Json = wait_until(reached, f"{name} is {phase}")
    return found


def test_pod_is_running_while_one_container_runs(api: Api, run: Callable[..., str]) -> None:
    name = run({"main": "exit 0", "sidecar": SLEEP})

    wait_until(lambda: states(api.read("pods", name)).get("main") == "terminated", "main has ended")

    pod = api.read("pods", name)
    assert pod["status"]["phase"] == "Running"
    assert states(pod)["sidecar"] == "running"
    ready = wait_until(
        lambda: (found := condition(api.read("pods", name), "Ready"))["status"] == "False" and found,
        "the pod is not ready",
    )
    assert ready["reason"] == "ContainersNotReady"
    assert ready["message"] == "containers with unready status: [main]"


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "PodCompleted"), (3, "Failed", "PodFailed")])
def test_pod_phase_follows_the_exit_codes_of_all_containers(
    api: Api, run: Callable[..., str], code: int, phase: str, reason: str
) -> None:
    name = run({"main": "exit 0", "sidecar": f"exit {code}"})
    assert condition(await_phase(api, name, phase), "Ready")["reason"] == reason


def test_native_sidecar_does_not_prevent_completion(api: Api, run: Callable[..., str]) -> None:
    name = run({"main": "exit 0"}, [("mesh", SLEEP, {"restartPolicy": "Always"})])
    pod = await_phase(api, name, "Succeeded")
    assert states(pod) == {"mesh": "terminated", "main": "terminated"}


def test_failed_init_container_fails_the_pod(api: Api, run: Callable[..., str]) -> None:
    name = run({"main": SLEEP}, [("init", "exit 4", {})])
    pod = await_phase(api, name, "Failed")
    assert states(pod) == {"init": "terminated", "main": "waiting"}


def test_last_state_of_an_evicted_pod_has_the_reason_and_the_exit_code(api: Api, run: Callable[..., str]) -> None:
    name = run({"main": OBEDIENT}, terminationGracePeriodSeconds=30)
    await_phase(api, name, "Running")
    wait_until(lambda: "ready" in api.http.get(api.path("pods", name, "log")).text, "the container has set its trap")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}

    with api.watching("pods", fieldSelector=f"metadata.name={name}", timeoutSeconds=100) as events:
        ok(api.http.post(api.path("pods", name, "eviction"), json=eviction), 201)
        last = next(event["object"] for event in events if event["type"] == "DELETED")

    assert condition(last, "DisruptionTarget")["reason"] == "EvictionByEvictionAPI"
    assert last["status"]["phase"] == "Failed"
    assert last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_pods_tolerate_a_lost_node_for_five_minutes_by_default(
    api: Api, name: str, unbound_pod: Callable[..., Json]
) -> None:
    tolerations = api.made("pods", unbound_pod(name))["spec"]["tolerations"]
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        expected = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        assert expected in tolerations


def test_pod_can_set_its_toleration_of_a_lost_node(api: Api, name: str, unbound_pod: Callable[..., Json]) -> None:
    own = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 7,
    }
    tolerations = api.made("pods", unbound_pod(name, tolerations=[own]))["spec"]["tolerations"]
    assert [each["tolerationSeconds"] for each in tolerations if each["key"] == own["key"]] == [7]


def test_pods_of_a_lost_node_become_not_ready_without_a_reason_and_are_evicted(
    api: Api, name: str, local_node: NodeUnderTest
) -> None:
    """Only the *node* has the reason `NodeStatusUnknown`: its pods have none, and their containers' states stay."""
    soon = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 2,
    }
    a_pod(api, name, local_node.name, {"main": SLEEP}, tolerations=[soon])
    wait_until(lambda: condition(api.read("pods", name), "Ready").get("status") == "True", "the pod is ready")
    before = api.read("pods", name)["status"]["containerStatuses"]
    node_path = f"/api/v1/nodes/{local_node.name}"

    local_node.pause()
    try:
        wait_until(lambda: condition(api.read("pods", name), "Ready")["status"] == "False", "the pod is not ready")
        pod = api.read("pods", name)
        assert not condition(pod, "Ready").get("reason")
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["containerStatuses"] == before
        ready = condition(ok(api.http.get(node_path)), "Ready")
        assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")

        wait_until(lambda: "deletionTimestamp" in api.read("pods", name)["metadata"], "the pod is evicted")
        pod = api.read("pods", name)
        assert condition(pod, "DisruptionTarget")["reason"] == "DeletionByTaintManager"
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["containerStatuses"] == before
    finally:
        local_node.resume()
    wait_until(lambda: not api.exists("pods", name), "the node has stopped the pod")
    wait_until(lambda: condition(ok(api.http.get(node_path)), "Ready")["status"] == "True", "the node is ready again")
