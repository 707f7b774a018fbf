"""Evictions by `kubectl drain` and descheduling controllers, which the operator counts as interruptions."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.kube_api import Api, Json, ok, refused, wait_until


def evict(api: Api, name: str, **fields: Any) -> Any:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": api.namespace}}
    return api.http.post(api.path("pods", name, "eviction"), json=body | fields)


def condition(pod: Json, kind: str) -> Json:
    return next((dict(each) for each in pod["status"].get("conditions") or [] if each["type"] == kind), {})


@pytest.fixture
def running(api: Api, name: str, bound_pod: Callable[..., Json]) -> Iterator[Json]:
    """A pod that is bound to a node and reports Running."""
    bound_pod(name)
    yield ok(api.patch("pods", name, {"status": {"phase": "Running"}}, subresource="status"))
    api.delete("pods", name, gracePeriodSeconds=0)


def test_evicted_pod_gets_a_condition_and_is_deleted_with_its_grace_period(api: Api, name: str, running: Json) -> None:
    assert ok(evict(api, name), 201)["status"] == "Success"

    pod = api.read("pods", name)
    mark = condition(pod, "DisruptionTarget")
    assert (mark["status"], mark["reason"]) == ("True", "EvictionByEvictionAPI")
    assert mark["lastTransitionTime"]
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    assert pod["status"]["phase"] == "Running"


def test_other_conditions_are_kept(api: Api, name: str, running: Json) -> None:
    before = condition(running, "PodScheduled")
    ok(evict(api, name), 201)
    assert condition(api.read("pods", name), "PodScheduled") == before


def test_eviction_can_shorten_the_grace_period(api: Api, name: str, running: Json) -> None:
    ok(evict(api, name, deleteOptions={"gracePeriodSeconds": 5}), 201)
    assert api.read("pods", name)["metadata"]["deletionGracePeriodSeconds"] == 5


def test_dry_run_evicts_nothing(api: Api, name: str, running: Json) -> None:
    ok(evict(api, name, deleteOptions={"dryRun": ["All"]}), 201)
    pod = api.read("pods", name)
    assert "deletionTimestamp" not in pod["metadata"]
    assert not condition(pod, "DisruptionTarget")


def test_eviction_with_the_uid_of_another_pod_is_rejected(api: Api, name: str, running: Json) -> None:
    answer = evict(api, name, deleteOptions={"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}})
    refused(answer, 409, "Conflict")
    pod = api.read("pods", name)
    assert "deletionTimestamp" not in pod["metadata"]
    assert not condition(pod, "DisruptionTarget")


def test_eviction_must_name_its_pod(api: Api, name: str, running: Json) -> None:
    message = refused(evict(api, name, metadata={"name": "another"}), 400, "BadRequest")
    assert "name in URL does not match name in Eviction object" in message


def test_missing_pod_cannot_be_evicted(api: Api, name: str) -> None:
    refused(evict(api, name), 404, "NotFound")


def test_node_status_keeps_the_disruption_condition(api: Api, name: str, running: Json) -> None:
    """The operator reads both from the pod's last state: the reason of the eviction and the container's message."""
    ok(evict(api, name), 201)
    patch = {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "PodFailed"}]}}
    strategic = "application/strategic-merge-patch+json"
    pod = ok(api.patch("pods", name, patch, strategic, subresource="status"))
    assert condition(pod, "DisruptionTarget")["status"] == "True"
    assert condition(pod, "Ready")["reason"] == "PodFailed"


def test_eviction_subresource_is_discovered(api: Api) -> None:
    """`kubectl drain` evicts if it finds this subresource, and deletes pods otherwise."""
    [found] = [each for each in ok(api.http.get("/api/v1"))["resources"] if each["name"] == "pods/eviction"]
    assert (found["kind"], found["group"], found["version"]) == ("Eviction", "policy", "v1")
    assert "create" in found["verbs"]


@pytest.fixture
def node(api: Api) -> Iterator[str]:
    """A Node object without a kubelet."""
    name = f"darkroom-empty-{secrets.token_hex(4)}"
    ok(api.http.post("/api/v1/nodes", json={"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}), 201)
    yield name
    ok(api.http.delete(f"/api/v1/nodes/{name}"))


def test_drain_cordons_the_node_and_evicts_its_pods(
    api: Api, kubectl: Any, name: str, node: str, gated_pod: Callable[..., Json]
) -> None:
    manifest = gated_pod(name, schedulingGates=[], nodeName=node)
    manifest["metadata"]["labels"] = {"drained": name}
    api.made("pods", manifest)
    options = ["--force", "--ignore-daemonsets", f"--pod-selector=drained={name}", "--timeout=50s"]

    with api.watching("pods", fieldSelector=f"metadata.name={name}", timeoutSeconds=60) as events:
        kubectl("drain", node, "--grace-period=0", *options)
        seen = next(event["object"] for event in events if condition(event["object"], "DisruptionTarget"))

    assert condition(seen, "DisruptionTarget")["reason"] == "EvictionByEvictionAPI"
    assert not api.exists("pods", name)
    assert cordoned(api, node)
    wait_until(lambda: "node.kubernetes.io/unschedulable" in taints(api, node), "the node is tainted")

    kubectl("uncordon", node)

    assert not cordoned(api, node)
    wait_until(lambda: "node.kubernetes.io/unschedulable" not in taints(api, node), "the taint is removed")


def cordoned(api: Api, node: str) -> bool:
    return bool(ok(api.http.get(f"/api/v1/nodes/{node}"))["spec"].get("unschedulable"))


def taints(api: Api, node: str) -> list[str]:
    return [each["key"] for each in ok(api.http.get(f"/api/v1/nodes/{node}"))["spec"].get("taints") or []]


def test_eviction_requires_permission_to_create_evictions(api: Api, kubectl: Any, name: str, running: Json) -> None:
    user = f"system:serviceaccount:{api.namespace}:{name}"
    # `can-i create pods/eviction` would mean a pod with the name "eviction".
    question = ("auth", "can-i", "create", "pods", "--subresource=eviction", f"--as={user}")
    kubectl("create", "role", name, "--verb=create", "--resource=pods/eviction")
    assert kubectl.run(*question).stdout.strip() == "no"
    kubectl("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={api.namespace}:{name}")
    wait_until(lambda: kubectl.run(*question).stdout.strip() == "yes", "the permission is granted")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    headers = {"Impersonate-User": user}
    ok(api.http.post(api.path("pods", name, "eviction"), json=body, headers=headers), 201)
