"""Unresponsive nodes and evictions, with a clock that the test controls."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from darkroom_local.apiserver.admission.tolerations import add_defaults, seconds_tolerated
from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.controllers.node_lifecycle import NodeLifecycle
from darkroom_local.apiserver.registry.request import RequestTarget, WriteOptions
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.registry import Registry
from darkroom_local.apiserver.storage.store import Store

Json = dict[str, Any]
UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
READY = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}


class Cluster:
    """An API server's objects with the controller, without HTTP."""

    def __init__(self, folder: Path, grace_seconds: float = 50.0) -> None:
        self.api = ResourceApi(Store(folder / "objects.sqlite"), Registry(), lambda: None)
        self.seconds = 1000.0
        self.controller = NodeLifecycle(self.api, grace_seconds, lambda: self.seconds)

    def target(self, plural: str, name: str = "", subresource: str = "", group: str = "") -> RequestTarget:
        resource = self.api.registry.built_in(group, plural)
        namespace = "" if not resource.namespaced else "kube-node-lease" if plural == "leases" else "default"
        return RequestTarget(resource, namespace, name, subresource)

    def make_node(self, lease: bool = True) -> None:
        self.api.create(
            self.target("nodes"), {"metadata": {"name": "n"}, "status": {"conditions": [READY]}}, WriteOptions()
        )
        if lease:
            document = {"metadata": {"name": "n"}, "spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
            self.api.create(self.target("leases", group="coordination.k8s.io"), document, WriteOptions())

    def make_pod(self, name: str, **spec: Any) -> None:
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n", **spec}
        self.api.create(self.target("pods"), {"metadata": {"name": name}, "spec": spec}, WriteOptions())
        conditions = [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]
        self.patch("pods", name, {"status": {"phase": "Running", "conditions": conditions}}, "status")

    def patch(self, plural: str, name: str, patch: Json, subresource: str = "", group: str = "") -> None:
        kind = "application/merge-patch+json"
        self.api.patch(self.target(plural, name, subresource, group), kind, patch, WriteOptions())

    def renew(self, moment: str) -> None:
        self.patch("leases", "n", {"spec": {"renewTime": moment}}, group="coordination.k8s.io")

    def after(self, seconds: float) -> None:
        self.seconds += seconds
        self.controller.sync()

    def read(self, plural: str, name: str) -> Json:
        return self.api.get(self.target(plural, name))

    def condition(self, plural: str, name: str, kind: str = "Ready") -> Json:
        found = self.read(plural, name)["status"].get("conditions") or []
        return next((each for each in found if each["type"] == kind), {})

    def taints(self) -> set[tuple[str, str]]:
        found = self.read("nodes", "n")["spec"].get("taints") or []
        return {(each["key"].rpartition("/")[2], each["effect"]) for each in found}

    def is_evicted(self, name: str) -> bool:
        return "deletionTimestamp" in self.read("pods", name)["metadata"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.api.store.close()


def test_node_becomes_unknown_after_its_grace_period_and_not_before(cluster: Cluster) -> None:
    cluster.make_node()
    cluster.after(0)
    cluster.after(49)
    assert cluster.condition("nodes", "n")["status"] == "True"

    cluster.after(2)

    ready = cluster.condition("nodes", "n")
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert ready["lastHeartbeatTime"] == READY["lastHeartbeatTime"]
    assert cluster.taints() == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}


def test_heartbeats_count_even_when_the_node_has_a_wrong_clock(cluster: Cluster) -> None:
    """Only a change of the Lease counts, not its timestamps."""
    cluster.make_node()
    for moment in ("1970-01-01T00:00:00.000000Z", "2100-01-01T00:00:00.000000Z", "1999-01-01T00:00:00.000000Z"):
        cluster.after(40)
        cluster.renew(moment)
    cluster.after(40)
    assert cluster.condition("nodes", "n")["status"] == "True"


def test_restarted_server_gives_every_node_a_full_grace_period(cluster: Cluster) -> None:
    cluster.make_node()
    cluster.after(0)
    cluster.seconds += 1000
    cluster.controller = NodeLifecycle(cluster.api, 50.0, lambda: cluster.seconds)
    cluster.after(0)
    assert cluster.condition("nodes", "n")["status"] == "True"


def test_node_without_a_lease_is_not_monitored(cluster: Cluster) -> None:
    cluster.make_node(lease=False)
    cluster.after(0)
    cluster.after(10_000)
    assert cluster.condition("nodes", "n")["status"] == "True"


def test_pods_of_an_unresponsive_node_are_marked_not_ready_once_without_a_reason(cluster: Cluster) -> None:
    cluster.make_node()
    cluster.make_pod("p")
    cluster.after(0)
    cluster.after(51)
    ready = cluster.condition("pods", "p")
    assert ready["status"] == "False"
    assert set(ready) == {"type", "status", "lastTransitionTime"}
    assert cluster.condition("pods", "p", "PodScheduled")["status"] == "True"
    assert cluster.read("pods", "p")["status"]["phase"] == "Running"

    cluster.patch("pods", "p", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "status")
    cluster.after(1)
    assert cluster.condition("pods", "p")["status"] == "True"


def test_pods_are_evicted_when_their_toleration_expires(cluster: Cluster) -> None:
    cluster.make_node()
    cluster.make_pod("usual")
    cluster.make_pod("patient", tolerations=[UNREACHABLE | {"operator": "Exists"}])
    cluster.make_pod("short", tolerations=[UNREACHABLE | {"operator": "Exists", "tolerationSeconds": 5}])
    cluster.after(0)
    cluster.after(51)
    cluster.after(6)
    assert [cluster.is_evicted(name) for name in ("usual", "patient", "short")] == [False, False, True]
    assert cluster.condition("pods", "short", "DisruptionTarget")["reason"] == "DeletionByTaintManager"
    assert cluster.read("pods", "short")["metadata"]["deletionGracePeriodSeconds"] == 30

    cluster.after(293)
    assert not cluster.is_evicted("usual")
    cluster.after(2)
    assert [cluster.is_evicted(name) for name in ("usual", "patient")] == [True, False]


def test_recovered_node_loses_its_taints_and_its_pods_are_not_evicted(cluster: Cluster) -> None:
    cluster.make_node()
    cluster.make_pod("p")
    cluster.after(0)
    cluster.after(51)
    cluster.patch("nodes", "n", {"status": {"conditions": [READY | {"lastHeartbeatTime": "later"}]}}, "status")
    cluster.after(0)
    assert cluster.taints() == set()
    cluster.renew("2026-01-01T00:10:00.000000Z")
    cluster.after(40)
    cluster.renew("2026-01-01T00:20:00.000000Z")
    cluster.after(40)
    cluster.after(45)
    assert not cluster.is_evicted("p")


def test_node_that_reports_not_ready_gets_the_not_ready_taint(cluster: Cluster) -> None:
    cluster.make_node()
    cluster.patch("nodes", "n", {"status": {"conditions": [READY | {"status": "False"}]}}, "status")
    cluster.after(0)
    assert cluster.taints() == {("not-ready", "NoSchedule"), ("not-ready", "NoExecute")}


def test_foreign_taints_are_kept_and_evict_pods(cluster: Cluster) -> None:
    cluster.make_node()
    cluster.make_pod("p")
    foreign = {"key": "example.com/maintenance", "effect": "NoExecute"}
    cluster.patch("nodes", "n", {"spec": {"taints": [foreign], "unschedulable": True}})
    cluster.after(0)
    assert cluster.taints() == {("maintenance", "NoExecute"), ("unschedulable", "NoSchedule")}
    assert cluster.is_evicted("p")


def test_pods_of_a_deleted_node_fail_and_are_deleted_after_the_quarantine(cluster: Cluster) -> None:
    """`kubectl delete node` for a machine that never returns."""
    cluster.make_node()
    cluster.make_pod("p")
    seen: list[Json] = []
    cluster.api.store.subscribe(lambda event: seen.append(event.document) if event.collection == "/pods" else None)
    cluster.api.delete(cluster.target("nodes", "n"), {})
    cluster.after(0)
    cluster.after(39)
    assert cluster.read("pods", "p")["status"]["phase"] == "Running"

    cluster.after(2)

    with pytest.raises(StatusError):
        cluster.read("pods", "p")
    last = seen[-1]["status"]
    assert last["phase"] == "Failed"
    assert [each["reason"] for each in last["conditions"] if each["type"] == "DisruptionTarget"] == ["DeletionByPodGC"]


def test_node_that_registers_again_keeps_its_pods(cluster: Cluster) -> None:
    cluster.make_node()
    cluster.make_pod("p")
    cluster.api.delete(cluster.target("nodes", "n"), {})
    cluster.after(0)
    cluster.after(39)
    cluster.make_node(lease=False)
    cluster.after(2)
    cluster.after(30)
    assert cluster.read("pods", "p")["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 0),
        ([{"operator": "Exists"}], float("inf")),
        ([{"key": "a", "operator": "Exists", "tolerationSeconds": 7}], 7),
        ([{"key": "a", "value": "1", "tolerationSeconds": 7}], 7),
        ([{"key": "a", "value": "2"}], 0),
        ([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}], 0),
        ([{"key": "b", "operator": "Exists"}], 0),
        ([{"key": "a", "operator": "Exists", "tolerationSeconds": -1}], 0),
        ([{"key": "a", "value": "1", "tolerationSeconds": 9}, {"operator": "Exists", "tolerationSeconds": 4}], 4),
    ],
)
def test_shortest_matching_toleration_applies(tolerations: list[Json], seconds: float) -> None:
    taint = {"key": "a", "value": "1", "effect": "NoExecute"}
    assert seconds_tolerated(tolerations, [taint]) == seconds


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ([], ["not-ready", "unreachable"]),
        ([{"operator": "Exists"}], []),
        ([{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}], ["not-ready"]),
        ([{"key": "nvidia.com/gpu", "operator": "Exists"}], ["not-ready", "unreachable"]),
    ],
)
def test_default_tolerations_are_added_unless_the_pod_has_its_own(own: list[Json], added: list[str]) -> None:
    pod: Json = {"spec": {"tolerations": list(own)}}
    add_defaults(pod)
    assert [each["key"].rpartition("/")[2] for each in pod["spec"]["tolerations"][len(own) :]] == added
