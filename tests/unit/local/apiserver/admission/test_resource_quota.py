"""Quota counting, and enforcement under concurrency."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.kube_api import Api, ApiServer, ok

from darkroom_local.apiserver.admission.priority import set_priority
from darkroom_local.apiserver.admission.resource_quota import quota_status
from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.storage.store import Store
from darkroom_local.apiserver.validation.resource_quotas import validate

Json = dict[str, Any]
LIMITED = {"resources": {"limits": {"cpu": "1"}}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "objects.sqlite")


def a_pod(name: str, phase: str = "Running", metadata: Json | None = None, **spec: Any) -> Json:
    identity = {"namespace": "default", "name": name, **(metadata or {})}
    return {"metadata": identity, "spec": {"containers": [{"name": "main"}], **spec}, "status": {"phase": phase}}


def a_quota(*terms: Json, scopes: tuple[str, ...] = (), hard: str = "pods") -> Json:
    spec = {"hard": {hard: "5"}, "scopes": list(scopes), "scopeSelector": {"matchExpressions": list(terms)}}
    return {"metadata": {"namespace": "default", "name": "quota"}, "spec": spec}


def of_class(operator: str, *values: str) -> Json:
    return {"scopeName": "PriorityClass", "operator": operator, "values": list(values)}


def deleted(seconds_ago: float, grace: int) -> Json:
    """Metadata of a deletion: the end of the grace period, and its length."""
    end = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {"deletionTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ"), "deletionGracePeriodSeconds": grace}


PODS = (
    a_pod("plain"),
    a_pod("high", priorityClassName="high"),
    a_pod("low", priorityClassName="low"),
    a_pod("short", activeDeadlineSeconds=60),
    a_pod("limited", containers=[{"name": "main", **LIMITED}]),
)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (a_quota(), 5),
        (a_quota(of_class("In", "high", "other")), 1),
        (a_quota(of_class("NotIn", "high")), 4),
        (a_quota(of_class("Exists")), 2),
        (a_quota(of_class("DoesNotExist")), 3),
        (a_quota(of_class("In", "high"), of_class("In", "low")), 0),
        (a_quota(scopes=("PriorityClass",)), 2),
        (a_quota(scopes=("Terminating",)), 1),
        (a_quota(scopes=("NotTerminating",)), 4),
        (a_quota(scopes=("BestEffort",)), 4),
        (a_quota(scopes=("NotBestEffort",)), 1),
        (a_quota(scopes=("NotTerminating", "PriorityClass")), 2),
    ],
)
def test_quota_scopes(store: Store, quota: Json, expected: int) -> None:
    for pod in PODS:
        store.create("/pods", pod)
    assert quota_status(store, quota) == {"hard": {"pods": "5"}, "used": {"pods": str(expected)}}


@pytest.mark.parametrize(
    ("phase", "live"),
    [("Pending", True), ("Running", True), ("Unknown", True), ("Succeeded", False), ("Failed", False)],
)
def test_pod_counts_until_it_is_terminal(store: Store, phase: str, live: bool) -> None:
    store.create("/pods", a_pod("one", phase))
    assert quota_status(store, a_quota())["used"] == {"pods": str(int(live))}
    assert quota_status(store, a_quota(hard="count/pods"))["used"] == {"count/pods": "1"}


def test_pod_being_deleted_counts_until_its_grace_period_ends(store: Store) -> None:
    store.create("/pods", a_pod("leaving", metadata=deleted(seconds_ago=-20, grace=30)))
    assert quota_status(store, a_quota())["used"] == {"pods": "1"}
    store.create("/pods", a_pod("lost", metadata=deleted(seconds_ago=60, grace=30)))
    assert quota_status(store, a_quota())["used"] == {"pods": "1"}


def test_limit_that_is_not_enforced_has_no_usage(store: Store) -> None:
    assert quota_status(store, a_quota(hard="requests.cpu")) == {"hard": {"requests.cpu": "5"}, "used": {}}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hard": {"pods": "-1"}}, "spec.hard[pods]"),
        ({"hard": {"count/secrets": "1.5"}}, "spec.hard[count/secrets]"),
        ({"scopes": ["Sometimes"]}, "spec.scopes[0]"),
        ({"scopeSelector": {"matchExpressions": [{"operator": "In"}]}}, "spec.scopes[0]"),
        (
            {"scopeSelector": {"matchExpressions": [of_class("Near")]}},
            "spec.scopeSelector.matchExpressions[0].operator",
        ),
    ],
)
def test_invalid_quota_is_rejected(spec: Json, field: str) -> None:
    assert [cause.field for cause in validate({"spec": spec}, None)] == [field]


def test_pod_without_a_class_gets_the_global_default(store: Store) -> None:
    for name, value, default in (("high", 9, True), ("low", 3, True), ("lowest", 1, False)):
        store.create(
            "scheduling.k8s.io/priorityclasses",
            {"metadata": {"name": name}, "value": value, "globalDefault": default},
        )
    pod = a_pod("one")
    set_priority(store, pod)
    assert (pod["spec"]["priorityClassName"], pod["spec"]["priority"]) == ("low", 3)
    with pytest.raises(StatusError, match="must not be provided in pod spec; priority admission controller computed 3"):
        set_priority(store, a_pod("two", priority=4))


def test_concurrent_creates_do_not_exceed_the_quota(server: ApiServer, connect: Callable[[ApiServer], Api]) -> None:
    api = connect(server)
    api.made("resourcequotas", {"metadata": {"name": "three"}, "spec": {"hard": {"pods": "3"}}})
    pods = [
        {"metadata": {"name": f"pod-{n}"}, "spec": {"containers": [{"name": "a", "image": "b"}]}} for n in range(24)
    ]
    with ThreadPoolExecutor(8) as crowd:
        codes = [answer.status_code for answer in crowd.map(lambda pod: api.create("pods", pod), pods)]
    assert sorted(codes) == [201] * 3 + [403] * 21
    assert len(ok(api.get("pods"))["items"]) == 3
    assert api.read("resourcequotas", "three")["status"]["used"] == {"pods": "3"}
    server.kill()
    server.start()
    again = connect(server)
    assert again.create("pods", pods[0] | {"metadata": {"name": "late"}}).status_code == 403
