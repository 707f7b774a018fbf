"""The Roles grant exactly the requests that the code makes.

To find these requests, the test calls every method of each Kubernetes client on a server that records them.
test_lifecycle.py shows that the Roles are sufficient, with RBAC enforced.
"""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kopf
import pytest
from support.chart import CASES, Json, render, rendered
from support.recording_api import Access, RecordingApi, allows, grants, recording_api

from darkroom_contract.jobs import read_job
from darkroom_contract.names import Kind, slot_lease_name
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.webhooks import Delivery, DeliveryState
from darkroom_gateway.errors import ClusterUnavailableError
from darkroom_gateway.kube.client import KubeClient as GatewayKubeClient
from darkroom_gateway.settings import Settings as GatewaySettings
from darkroom_gateway.webhooks.cluster import WebhookCluster
from darkroom_local.kube.kubeconfig import write_kubeconfig
from darkroom_operator.cache import handlers
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.leader_election import LEASE

NAMESPACE, NOW = "studio", "2026-11-27T12:00:00Z"
WATCHED = (*handlers.JOBS, handlers.POD, handlers.LEASE)
"""What kopf lists and watches."""


WEBHOOK: Json = {
    "event": WebhookEvent.FAILED,
    "delivery": Delivery(
        state=DeliveryState.DELIVERED, attempts=1, last_attempt_time=datetime(2026, 11, 27, tzinfo=UTC)
    ),
    "before": {"metadata": {"resourceVersion": "1"}},
    "spec": {},
    "note": "no",
}
"""Arguments of the methods of `WebhookCluster`."""


@pytest.fixture(scope="module")
def operator_accesses() -> set[Access]:
    with recording_api() as api:
        asyncio.run(_call_all_operator_methods(api))
        kopfs = {Access(verb, group, plural) for group, _, plural in WATCHED for verb in ("list", "watch")}
        return api.accesses | kopfs


async def _call_all_operator_methods(api: RecordingApi) -> None:
    async with KubeClient(NAMESPACE, lambda: kopf.ConnectionInfo(server=api.url)) as cluster:
        for call in _calls(cluster):
            answer: Any = call()
            if isinstance(answer, AsyncIterator):
                [page async for page in answer]
            elif isinstance(answer, Awaitable):
                await answer


@pytest.fixture(scope="module")
def gateway_accesses(tmp_path_factory: pytest.TempPathFactory) -> set[Access]:
    with recording_api() as api:
        kubeconfig: Path = tmp_path_factory.mktemp("gateway") / "kubeconfig"
        # Without the token in the path, which only the embedded API server supports.
        text = write_kubeconfig(api.url, "token", NAMESPACE).replace(f"{api.url}/token", api.url)
        kubeconfig.write_text(text)
        cluster = GatewayKubeClient(GatewaySettings(namespace=NAMESPACE, kubeconfig=str(kubeconfig)))
        webhooks = WebhookCluster(cluster)
        of_webhooks = (*_calls(webhooks, WEBHOOK), *_calls(webhooks, {**WEBHOOK, "before": None}))
        for call in (*_calls(cluster), *of_webhooks):
            answer = call()
            if isinstance(answer, Iterator):
                # The server does not support watches: its answer is not a stream of lines.
                with contextlib.suppress(ClusterUnavailableError):
                    list(answer)
        cluster.close()
        return api.accesses


def _calls(door: Any, more: Json | None = None) -> Iterator[Callable[[], Any]]:
    """All public methods of a client, with all arguments that matter for RBAC."""
    for name, method in inspect.getmembers(door, inspect.ismethod):
        if name.startswith("_") or name == "close":
            continue
        for kind in Kind:
            for called in (LEASE, slot_lease_name(0)) if "lease" in name else ("x",):
                known = _arguments(kind, called) | (more or {})
                parameters = inspect.signature(method).parameters.values()
                wanted = [each.name for each in parameters if each.default is each.empty]
                assert set(wanted) <= known.keys(), (
                    f"{name} has parameters that this test does not know: add them to _arguments"
                )
                yield lambda method=method, wanted=wanted, known=known: method(**{each: known[each] for each in wanted})


def _arguments(kind: Kind, name: str) -> Json:
    train: Json = {"modelId": "m", "dataset": {"uri": "s3://darkroom/k/"}} if kind is Kind.TRAIN else {}
    document: Json = {
        "apiVersion": "darkroom.dev/v1alpha1",
        "kind": kind.value,
        "metadata": {"name": "x", "namespace": NAMESPACE, "uid": "u", "resourceVersion": "1", "creationTimestamp": NOW},
        "spec": {"prompt": "a red circle", **train},
    }
    job = read_job(document)
    patches: Json = {
        "seconds": 1,
        "patch": {},
        "fields": {},
        "manifest": {},
        "document": document,
        "event": {},
        "selector": {"a": "b"},
        "gate": "g",
    }
    return {"kind": kind, "name": name, "uid": "u", "version": "1", "job": job, **patches}


def _rules(case: str, component: str) -> list[Json]:
    found: list[Json] = rendered(case).one("Role", f"darkroom-{component}")["rules"]
    return found


@pytest.mark.parametrize("case", CASES)
def test_operator_role_covers_its_requests(case: str, operator_accesses: set[Access]) -> None:
    assert _refused(_rules(case, "operator"), operator_accesses) == []


@pytest.mark.parametrize("case", CASES)
def test_gateway_role_covers_its_requests(case: str, gateway_accesses: set[Access]) -> None:
    assert _refused(_rules(case, "gateway"), gateway_accesses) == []


def _refused(rules: list[Json], accesses: set[Access]) -> list[Access]:
    return sorted(access for access in accesses if not any(allows(rule, access) for rule in rules))


def test_operator_role_grants_nothing_else(operator_accesses: set[Access]) -> None:
    assert _unused(_rules("default", "operator"), operator_accesses) == []


def test_gateway_role_grants_nothing_else(gateway_accesses: set[Access]) -> None:
    assert _unused(_rules("default", "gateway"), gateway_accesses) == []


def _unused(rules: list[Json], accesses: set[Access]) -> list[Access]:
    asked = {Access(each.verb, each.group, each.resource) for each in accesses}
    return sorted(grant for rule in rules for grant in grants(rule) if grant not in asked)


def test_permissions_are_limited_to_the_namespace() -> None:
    for case in CASES:
        assert rendered(case).of_kind("ClusterRoleBinding") == []
        for binding in rendered(case).of_kind("RoleBinding"):
            assert binding["roleRef"]["kind"] == "Role"
            assert [subject["namespace"] for subject in binding["subjects"]] == [NAMESPACE]


def test_no_role_reads_secrets_or_uses_wildcards() -> None:
    for case in CASES:
        for role in [*rendered(case).of_kind("Role"), *rendered(case).of_kind("ClusterRole")]:
            for rule in role["rules"]:
                assert "secrets" not in rule["resources"]
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_operator_writes_only_its_own_leases() -> None:
    patch = Access("patch", "coordination.k8s.io", "leases", "foreign")
    assert not any(allows(rule, patch) for rule in _rules("default", "operator"))


def test_operator_may_write_the_lease_of_every_slot() -> None:
    for slots in (1, 16, 40):
        rules = render({"operator": {"slots": slots}}).one("Role", "darkroom-operator")["rules"]
        last = Access("patch", "coordination.k8s.io", "leases", slot_lease_name(slots - 1))
        assert any(allows(rule, last) for rule in rules)


def test_bindings_refer_to_the_pods_service_accounts() -> None:
    for case in CASES:
        for component in ("operator", "gateway"):
            account = rendered(case).deployment(component)["spec"]["template"]["spec"]["serviceAccountName"]
            [subject] = rendered(case).one("RoleBinding", f"darkroom-{component}")["subjects"]
            assert (subject["kind"], subject["name"]) == ("ServiceAccount", account)
            assert rendered(case).has("ServiceAccount", account)


def test_rbac_can_be_disabled() -> None:
    without = render({"rbac": {"create": False}, "operator": {"serviceAccount": {"create": False, "name": "theirs"}}})
    assert without.of_kind("Role") == without.of_kind("RoleBinding") == []
    assert without.deployment("operator")["spec"]["template"]["spec"]["serviceAccountName"] == "theirs"


def test_permissions_for_the_owner_references_plugin() -> None:
    """The plugin requires `update` on finalizers of an owner whose deletion a pod blocks, without a request for it."""
    given = render({"rbac": {"ownerReferencesPermissionEnforcement": True}})
    rules = given.one("Role", "darkroom-operator")["rules"]
    for kind in Kind:
        assert any(allows(rule, Access("update", "darkroom.dev", f"{kind.plural}/finalizers", "x")) for rule in rules)
