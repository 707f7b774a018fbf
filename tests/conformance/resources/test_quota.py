"""ResourceQuotas and PriorityClasses: enforcement and counting by the API server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.kube_api import Api, Json, ok, refused, wait_until

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"

GatedPod = Callable[..., Json]


@pytest.fixture
def priority_class(api: Api, name: str) -> Iterator[str]:
    """A class that only this test's pods use."""
    ok(api.http.post(CLASSES, json={"metadata": {"name": name}, "value": 7}), 201)
    yield name
    ok(api.http.delete(f"{CLASSES}/{name}"))


@pytest.fixture
def quota(api: Api, name: str) -> Iterator[Callable[..., None]]:
    """Creates the test's quota, and waits until it is counted."""

    def make(hard: Json, **spec: Any) -> None:
        api.made("resourcequotas", {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
        wait_until(lambda: api.read("resourcequotas", name).get("status", {}).get("used"), "the quota is counted")

    yield make
    ok(api.delete("resourcequotas", name))


def of_class(name: str) -> Json:
    return {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": [name]}]}


def used(api: Api, name: str) -> Json:
    found: Json = api.read("resourcequotas", name)["status"]["used"]
    return found


def test_quota_limits_the_live_pods_of_a_priority_class(
    api: Api, gated_pod: GatedPod, name: str, priority_class: str, quota: Callable[..., None]
) -> None:
    quota({"pods": "1"}, scopeSelector=of_class(priority_class))
    api.made("pods", gated_pod(f"{name}-1", priorityClassName=priority_class))
    message = refused(api.create("pods", gated_pod(f"{name}-2", priorityClassName=priority_class)), 403, "Forbidden")
    assert message == (
        f'pods "{name}-2" is forbidden: exceeded quota: {name}, requested: pods=1, used: pods=1, limited: pods=1'
    )
    api.made("pods", gated_pod(f"{name}-3"))
    assert api.read("resourcequotas", name)["status"] == {"hard": {"pods": "1"}, "used": {"pods": "1"}}


def test_terminal_pod_does_not_count(
    api: Api, gated_pod: GatedPod, name: str, priority_class: str, quota: Callable[..., None]
) -> None:
    quota({"pods": "1", "count/pods": "2"}, scopeSelector=of_class(priority_class))
    api.made("pods", gated_pod(f"{name}-1", priorityClassName=priority_class))
    ok(api.patch("pods", f"{name}-1", {"status": {"phase": "Succeeded"}}, subresource="status"))
    wait_until(lambda: used(api, name) == {"pods": "0", "count/pods": "1"}, "the quota is counted again")
    api.made("pods", gated_pod(f"{name}-2", priorityClassName=priority_class))
    ok(api.delete("pods", f"{name}-2", gracePeriodSeconds=0))
    api.wait_gone("pods", f"{name}-2")
    wait_until(lambda: used(api, name) == {"pods": "0", "count/pods": "1"}, "the quota is counted again")
    api.made("pods", gated_pod(f"{name}-3", priorityClassName=priority_class))


def test_dry_run_is_checked_but_not_counted(
    api: Api, gated_pod: GatedPod, name: str, priority_class: str, quota: Callable[..., None]
) -> None:
    quota({"pods": "1"}, scopeSelector=of_class(priority_class))
    first, second = (gated_pod(f"{name}-{number}", priorityClassName=priority_class) for number in (1, 2))
    ok(api.create("pods", first, dryRun="All"), 201)
    assert used(api, name) == {"pods": "0"}
    api.made("pods", first)
    refused(api.create("pods", second, dryRun="All"), 403)


def test_quota_for_any_kind(api: Api, name: str, quota: Callable[..., None], generate_job: Any) -> None:
    """Uses a kind that no other test of this suite creates at the same time."""
    kind = "count/generatejobs.darkroom.dev"
    path = "generatejobs.darkroom.dev/v1alpha1"
    there = len(ok(api.get(path))["items"])
    quota({kind: str(there + 1)})
    api.made(path, generate_job(f"{name}-1"))
    message = refused(api.create(path, generate_job(f"{name}-2")), 403)
    assert message == (
        f'generatejobs.darkroom.dev "{name}-2" is forbidden: exceeded quota: {name}, '
        f"requested: {kind}=1, used: {kind}={there + 1}, limited: {kind}={there + 1}"
    )


def test_pod_has_the_priority_of_its_class(api: Api, gated_pod: GatedPod, name: str, priority_class: str) -> None:
    made = api.made("pods", gated_pod(name, priorityClassName=priority_class))
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (7, "PreemptLowerPriority")
    ok(api.patch("pods", name, {"metadata": {"labels": {"a": "b"}}}))
    assert api.made("pods", gated_pod(f"{name}-none"))["spec"]["priority"] == 0
    ok(api.create("pods", gated_pod(f"{name}-system", priorityClassName="system-node-critical"), dryRun="All"), 201)
    message = refused(api.create("pods", gated_pod(f"{name}-lost", priorityClassName=f"{name}-lost")), 403, "Forbidden")
    assert message == f'pods "{name}-lost" is forbidden: no PriorityClass with name {name}-lost was found'


def test_priority_class_value_is_immutable(api: Api, priority_class: str) -> None:
    patch = {"value": 8}
    headers = {"Content-Type": "application/merge-patch+json"}
    message = refused(api.http.patch(f"{CLASSES}/{priority_class}", json=patch, headers=headers), 422, "Invalid")
    assert "may not be changed in an update" in message


def test_kubectl_shows_quotas(api: Api, kubectl: Any, name: str) -> None:
    kubectl("create", "quota", name, "--hard=pods=100,count/secrets=100")
    wait_until(lambda: api.read("resourcequotas", name).get("status", {}).get("used"), "the quota is counted")
    described = [line.split() for line in kubectl("describe", "quota", name).splitlines()]
    assert ["Resource", "Used", "Hard"] in described
    assert any(line[:1] == ["pods"] and line[-1] == "100" for line in described)
    assert "pods: " in kubectl("get", "quota", name)
    kubectl("delete", "quota", name)
