"""Attributes of requests, RBAC rules, impersonation."""

from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.auth.attributes import Attributes, read_attributes
from darkroom_local.apiserver.auth.authenticator import ADMIN, User, service_account
from darkroom_local.apiserver.auth.authorizer import Authorizer, GrantedRule
from darkroom_local.apiserver.auth.impersonation import effective_user
from darkroom_local.apiserver.storage.store import Store

RBAC = "rbac.authorization.k8s.io"
GATEWAY = service_account("default", "gateway")
PODS = Attributes("list", resource="pods", namespace="default")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "objects.sqlite")


@pytest.fixture
def authorizer(store: Store) -> Authorizer:
    return Authorizer(store, enforced=True)


def a_rule(**rule: Any) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"], **rule}


def grant(store: Store, name: str, *rules: dict[str, Any], subject: dict[str, str] | None = None) -> None:
    identity = {"name": name, "namespace": "default"}
    store.create(f"{RBAC}/roles", {"metadata": identity, "rules": list(rules)})
    bind(store, name, subject)


def bind(store: Store, name: str, subject: dict[str, str] | None = None) -> None:
    bound_subject = subject or {"kind": "ServiceAccount", "name": "gateway", "namespace": "default"}
    content = {"roleRef": {"kind": "Role", "name": name}, "subjects": [bound_subject]}
    store.create(f"{RBAC}/rolebindings", {"metadata": {"name": name, "namespace": "default"}, **content})


@pytest.mark.parametrize(
    ("request_line", "attributes"),
    [
        ("GET /api/v1/namespaces/n/pods", Attributes("list", "", "pods", "", "n")),
        ("GET /api/v1/namespaces/n/pods?watch=true", Attributes("watch", "", "pods", "", "n")),
        ("GET /api/v1/namespaces/n/pods?watch=false", Attributes("list", "", "pods", "", "n")),
        ("GET /api/v1/pods", Attributes("list", "", "pods")),
        ("GET /api/v1/namespaces/n/pods/p/log", Attributes("get", "", "pods", "log", "n", "p")),
        ("DELETE /api/v1/namespaces/n/pods", Attributes("deletecollection", "", "pods", "", "n")),
        ("DELETE /api/v1/namespaces/n/pods/p", Attributes("delete", "", "pods", "", "n", "p")),
        ("POST /apis/g.io/v1/namespaces/n/things", Attributes("create", "g.io", "things", "", "n")),
        ("PATCH /apis/g.io/v1/namespaces/n/things/t/status", Attributes("patch", "g.io", "things", "status", "n", "t")),
        ("GET /api/v1/namespaces", Attributes("list", "", "namespaces")),
        ("GET /api/v1/namespaces/n", Attributes("get", "", "namespaces", "", "n", "n")),
        ("PUT /api/v1/namespaces/n/status", Attributes("update", "", "namespaces", "status", "n", "n")),
        ("GET /api/v1/pods?fieldSelector=metadata.name%3Dp", Attributes("list", "", "pods", name="p")),
        ("GET /api", Attributes("get", path="/api")),
        ("GET /apis/g.io/v1", Attributes("get", path="/apis/g.io/v1")),
        ("POST /metrics", Attributes("post", path="/metrics")),
    ],
)
def test_attributes_of_a_request(request_line: str, attributes: Attributes) -> None:
    method, _, target = request_line.partition(" ")
    path, _, query = target.partition("?")
    pairs = dict(each.split("=", 1) for each in query.replace("%3D", "=").split("&") if each)
    assert read_attributes(method, path, pairs) == attributes


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (a_rule(), True),
        (a_rule(verbs=["*"]), True),
        (a_rule(verbs=["get", "watch"]), False),
        (a_rule(apiGroups=["*"]), True),
        (a_rule(apiGroups=["apps"]), False),
        (a_rule(resources=["*"]), True),
        (a_rule(resources=["pods/log"]), False),
        (a_rule(resourceNames=["one"]), False),
        ({"verbs": ["list"], "nonResourceURLs": ["*"]}, False),
    ],
)
def test_rule_matching(store: Store, authorizer: Authorizer, rule: dict[str, Any], allowed: bool) -> None:
    grant(store, "one", rule)
    assert authorizer.decide(GATEWAY, PODS).allowed is allowed


@pytest.mark.parametrize(("resource", "allowed"), [("*/log", True), ("pods/*", False), ("pods", False), ("*", True)])
def test_rule_with_a_subresource(store: Store, authorizer: Authorizer, resource: str, allowed: bool) -> None:
    grant(store, "one", a_rule(verbs=["get"], resources=[resource]))
    attributes = Attributes("get", resource="pods", subresource="log", namespace="default", name="p")
    assert authorizer.decide(GATEWAY, attributes).allowed is allowed


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        ({"kind": "ServiceAccount", "name": "gateway", "namespace": "other"}, False),
        ({"kind": "ServiceAccount", "name": "other", "namespace": "default"}, False),
        ({"kind": "User", "name": "system:serviceaccount:default:gateway"}, True),
        ({"kind": "User", "name": "gateway"}, False),
        ({"kind": "Group", "name": "system:serviceaccounts"}, True),
        ({"kind": "Group", "name": "system:serviceaccounts:other"}, False),
        ({"kind": "Group", "name": "system:authenticated"}, True),
    ],
)
def test_subject_matching(store: Store, authorizer: Authorizer, subject: dict[str, str], allowed: bool) -> None:
    grant(store, "one", a_rule(), subject=subject)
    assert authorizer.decide(GATEWAY, PODS).allowed is allowed


def test_changes_of_roles_and_bindings_apply_immediately(store: Store, authorizer: Authorizer) -> None:
    assert not authorizer.decide(GATEWAY, PODS).allowed
    grant(store, "one", a_rule())
    assert authorizer.decide(GATEWAY, PODS).reason == (
        'RBAC: allowed by RoleBinding "one/default" of Role "one" to ServiceAccount "gateway/default"'
    )
    role = store.get(f"{RBAC}/roles", "default", "one")
    assert role is not None
    role = store.replace(f"{RBAC}/roles", role | {"rules": []}, role["metadata"]["resourceVersion"])
    assert not authorizer.decide(GATEWAY, PODS).allowed
    role = store.replace(f"{RBAC}/roles", role | {"rules": [a_rule()]}, role["metadata"]["resourceVersion"])
    assert authorizer.decide(GATEWAY, PODS).allowed
    store.remove(f"{RBAC}/roles", role, role["metadata"]["resourceVersion"])
    assert not authorizer.decide(GATEWAY, PODS).allowed


def test_missing_role_is_named_in_the_decision(store: Store, authorizer: Authorizer) -> None:
    bind(store, "lost")
    with pytest.raises(StatusError) as error:
        authorizer.require(GATEWAY, PODS)
    assert error.value.message == (
        'pods is forbidden: User "system:serviceaccount:default:gateway" cannot list resource "pods" in API group "" '
        f'in the namespace "default": RBAC: role.{RBAC} "lost" not found'
    )


def test_admin_may_do_everything_and_without_enforcement_everyone(store: Store, authorizer: Authorizer) -> None:
    assert authorizer.decide(ADMIN, PODS).allowed
    assert Authorizer(store, enforced=False).decide(GATEWAY, PODS).allowed


def test_impersonation_requires_its_own_permission(store: Store, authorizer: Authorizer) -> None:
    as_gateway = Headers({"Impersonate-User": GATEWAY.name})
    assert effective_user(ADMIN, as_gateway, authorizer) == GATEWAY
    as_ann = Headers({"Impersonate-User": "ann", "Impersonate-Group": "staff"})
    assert effective_user(ADMIN, as_ann, authorizer) == User("ann", ("staff", "system:authenticated"))
    with pytest.raises(StatusError, match='cannot impersonate resource "serviceaccounts"'):
        effective_user(service_account("default", "other"), as_gateway, authorizer)
    grant(store, "one", a_rule(verbs=["impersonate"], resources=["serviceaccounts"], resourceNames=["gateway"]))
    assert effective_user(GATEWAY, as_gateway, authorizer) == GATEWAY
    with pytest.raises(StatusError, match='cannot impersonate resource "users"'):
        effective_user(GATEWAY, Headers({"Impersonate-User": "ann"}), authorizer)


def test_decision_among_a_hundred_roles_checks_one_rule_and_reads_nothing(
    store: Store, authorizer: Authorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cost does not grow with the number of roles. Counted, not timed: other processes disturb timings."""
    for number in range(100):
        grant(store, f"role-{number}", a_rule(resources=[f"things-{number}"]))
    grant(store, "reader", a_rule())
    authorizer.decide(GATEWAY, PODS)
    checked: list[GrantedRule] = []
    allows = GrantedRule.allows

    def count(rule: GrantedRule, attributes: Attributes) -> bool:
        checked.append(rule)
        return allows(rule, attributes)

    def refuse(*_: object) -> None:
        raise AssertionError("the decision reads the store")

    monkeypatch.setattr(GrantedRule, "allows", count)
    monkeypatch.setattr(store, "items", refuse)
    monkeypatch.setattr(store, "get", refuse)

    assert authorizer.decide(GATEWAY, PODS).allowed
    assert len(checked) == 1
