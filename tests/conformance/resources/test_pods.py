"""Pods as the operator and the node use them: gates, binding, status, immutability, graceful deletion."""

from collections.abc import Callable

import pytest
from support.kube_api import Api, Json, ok, refused

GATES = [{"name": "darkroom.dev/one"}, {"name": "darkroom.dev/two"}]
BINDING = {"apiVersion": "v1", "kind": "Binding", "target": {"apiVersion": "v1", "kind": "Node", "name": "elsewhere"}}


def bind(api: Api, name: str) -> object:
    return api.http.post(api.path("pods", name, "binding"), json=BINDING | {"metadata": {"name": name}})


def scheduled(pod: Json) -> Json:
    [condition] = [each for each in pod["status"]["conditions"] if each["type"] == "PodScheduled"]
    return dict(condition)


def test_new_pod_has_defaults_and_is_pending(api: Api, name: str, unbound_pod: Callable[..., Json]) -> None:
    pod = api.made("pods", unbound_pod(name))
    assert pod["status"]["phase"] == "Pending"
    assert (pod["spec"]["restartPolicy"], pod["spec"]["terminationGracePeriodSeconds"]) == ("Always", 30)
    assert pod["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log"
    assert pod["spec"]["containers"][0]["terminationMessagePolicy"] == "File"
    assert "nodeName" not in pod["spec"]


def test_status_of_a_new_pod_is_ignored(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    pod = api.made("pods", gated_pod(name) | {"status": {"phase": "Succeeded"}})
    assert pod["status"]["phase"] == "Pending"


def test_pod_name_is_unique(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name))
    refused(api.create("pods", gated_pod(name)), 409, "AlreadyExists")


def test_pod_needs_a_container_with_a_name_and_an_image(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    assert "spec.containers" in refused(api.create("pods", gated_pod(name, containers=[])), 422, "Invalid")
    nameless = gated_pod(name, containers=[{"image": "x"}])
    assert "spec.containers[0].name" in refused(api.create("pods", nameless), 422, "Invalid")


def test_container_names_are_unique(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    main = {"name": "main", "image": "x"}
    twice = refused(api.create("pods", gated_pod(name, containers=[main, main])), 422, "Invalid")
    assert 'spec.containers[1].name: Duplicate value: "main"' in twice
    nameless = gated_pod(name, initContainers=[{"image": "x"}])
    assert "spec.initContainers[0].name" in refused(api.create("pods", nameless), 422, "Invalid")


def test_unknown_restart_policy_is_rejected(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    assert "spec.restartPolicy" in refused(api.create("pods", gated_pod(name, restartPolicy="Maybe")), 422, "Invalid")


def test_pod_with_wrong_types_is_rejected(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    refused(api.create("pods", gated_pod(name, containers="main")), 400, "BadRequest")


def test_gated_pod_has_the_scheduling_gated_condition(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    pod = api.made("pods", gated_pod(name, schedulingGates=GATES))
    assert (scheduled(pod)["status"], scheduled(pod)["reason"]) == ("False", "SchedulingGated")


def test_gates_are_removed_one_by_one(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name, schedulingGates=GATES, schedulerName="nobody"))
    assert ok(api.patch("pods", name, {"spec": {"schedulingGates": GATES[1:]}}))["spec"]["schedulingGates"] == GATES[1:]
    assert "schedulingGates" not in ok(api.patch("pods", name, {"spec": {"schedulingGates": []}}))["spec"]


def test_gate_can_be_removed_with_a_precondition(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    old = api.made("pods", gated_pod(name, schedulerName="nobody"))
    ok(api.patch("pods", name, {"metadata": {"labels": {"a": "b"}}}))
    version = old["metadata"]["resourceVersion"]
    open_gate = {"metadata": {"resourceVersion": version}, "spec": {"schedulingGates": None}}
    refused(api.patch("pods", name, open_gate), 409, "Conflict")
    assert api.read("pods", name)["spec"]["schedulingGates"]


def test_gates_cannot_be_added(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name, schedulingGates=GATES[:1]))
    message = refused(api.patch("pods", name, {"spec": {"schedulingGates": GATES}}), 422, "Invalid")
    assert "spec.schedulingGates" in message


def test_gated_pod_cannot_be_bound(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    refused(api.create("pods", gated_pod(name, nodeName="elsewhere")), 422, "Invalid")
    api.made("pods", gated_pod(name))
    answer = bind(api, name)
    assert "schedulingGates" in refused(answer, 409, "Conflict")  # type: ignore[arg-type]


def test_binding_assigns_a_pod_to_a_node(api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    pod = bound_pod(name)
    assert pod["spec"]["nodeName"]
    assert scheduled(pod)["status"] == "True"
    api.delete("pods", name, gracePeriodSeconds=0)


def test_pod_is_bound_only_once(api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    bound_pod(name)
    assert "already assigned to node" in refused(bind(api, name), 409, "Conflict")  # type: ignore[arg-type]
    api.delete("pods", name, gracePeriodSeconds=0)


@pytest.mark.parametrize("spec", [{"nodeName": "other"}, {"restartPolicy": "Never"}, {"volumes": [{"name": "v"}]}])
def test_pod_spec_is_immutable(api: Api, name: str, unbound_pod: Callable[..., Json], spec: Json) -> None:
    api.made("pods", unbound_pod(name))
    assert "pod updates may not change fields" in refused(api.patch("pods", name, {"spec": spec}), 422, "Invalid")


def test_node_writes_the_pod_status(api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    bound_pod(name)
    state = {"terminated": {"exitCode": 3, "reason": "Error", "message": '{"reason":"ModelNotFound"}'}}
    container = {"name": "main", "image": "x", "imageID": "", "restartCount": 0, "ready": False, "state": state}
    status = {"phase": "Failed", "containerStatuses": [container]}
    after = ok(api.patch("pods", name, {"status": status}, subresource="status"))
    assert after["status"]["phase"] == "Failed"
    assert after["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    api.delete("pods", name, gracePeriodSeconds=0)


def test_unbound_pod_is_deleted_immediately(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name))
    ok(api.delete("pods", name))
    assert not api.exists("pods", name)


def test_bound_pod_is_deleted_after_its_grace_period(api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    bound_pod(name)
    metadata = ok(api.delete("pods", name))["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 30
    assert metadata["deletionTimestamp"] > metadata["creationTimestamp"]
    assert api.exists("pods", name)

    ok(api.delete("pods", name, gracePeriodSeconds=0))
    assert not api.exists("pods", name)


def test_grace_period_comes_from_the_pod_or_the_request(api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    bound_pod(name, terminationGracePeriodSeconds=7)
    assert ok(api.delete("pods", name))["metadata"]["deletionGracePeriodSeconds"] == 7
    assert ok(api.delete("pods", name, gracePeriodSeconds=3))["metadata"]["deletionGracePeriodSeconds"] == 3
    api.delete("pods", name, gracePeriodSeconds=0)


def test_bound_pod_can_be_deleted_with_force(api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    bound_pod(name)
    ok(api.delete("pods", name, gracePeriodSeconds=0))
    assert not api.exists("pods", name)


def test_terminal_pod_is_deleted_immediately(api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    bound_pod(name)
    ok(api.patch("pods", name, {"status": {"phase": "Succeeded"}}, subresource="status"))
    ok(api.delete("pods", name))
    assert not api.exists("pods", name)


def test_delete_by_uid_does_not_affect_a_successor(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    first = api.made("pods", gated_pod(name))
    ok(api.delete("pods", name))
    api.made("pods", gated_pod(name))
    refused(api.delete("pods", name, preconditions={"uid": first["metadata"]["uid"]}), 409, "Conflict")
    assert api.exists("pods", name)


def test_unbound_pod_has_no_log(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name))
    answer = api.http.get(api.path("pods", name, "log"))
    assert (answer.status_code, answer.text) == (204, "")


def test_log_of_an_unknown_container_is_rejected(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name))
    answer = api.http.get(api.path("pods", name, "log"), params={"container": "other"})
    assert "container other is not valid for pod" in refused(answer, 400, "BadRequest")


def test_log_of_a_pod_with_several_containers_requires_a_container_name(
    api: Api, name: str, gated_pod: Callable[..., Json]
) -> None:
    containers = [{"name": each, "image": "registry.invalid/none:1"} for each in ("main", "mesh")]
    api.made("pods", gated_pod(name, containers=containers))
    message = refused(api.http.get(api.path("pods", name, "log")), 400, "BadRequest")
    assert f"a container name must be specified for pod {name}, choose one of: [main mesh]" in message
    assert api.http.get(api.path("pods", name, "log"), params={"container": "mesh"}).status_code == 204
