"""RBAC: ServiceAccounts, their tokens, and the permissions of roles and bindings."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kube_api import Api, Json, kubeconfig_with_token, ok, refused, wait_until

RBAC = "rbac.authorization.k8s.io/v1"
ROLES, BINDINGS = f"roles.{RBAC}", f"rolebindings.{RBAC}"
CLUSTER = f"/apis/{RBAC}"
TRAIN_JOBS = "trainjobs.darkroom.dev/v1alpha1"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

Connect = Callable[[str], Api]


@pytest.fixture
def connect(api: Api, tmp_path: Path) -> Iterator[Connect]:
    """Creates a ServiceAccount with this name, and an API client with its token."""
    opened: list[Api] = []

    def to(name: str) -> Api:
        api.made("serviceaccounts", {"metadata": {"name": name}})
        answer = ok(api.http.post(api.path("serviceaccounts", name, "token"), json={"spec": {}}), 201)
        kubeconfig = tmp_path / f"{name}.yaml"
        kubeconfig.write_text(kubeconfig_with_token(api.kubeconfig, answer["status"]["token"], api.namespace))
        opened.append(Api(kubeconfig, api.namespace))
        return opened[-1]

    yield to
    for each in opened:
        each.http.close()


def a_rule(verbs: str, resources: str, group: str = "", **more: Any) -> Json:
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **more}


def grant(api: Api, name: str, *rules: Json) -> None:
    """Creates a role and its binding to the ServiceAccount, all with one name."""
    api.made(ROLES, {"metadata": {"name": name}, "rules": list(rules)})
    bind(api, name, {"kind": "ServiceAccount", "name": name, "namespace": api.namespace})


def bind(api: Api, name: str, subject: Json, kind: str = "Role") -> None:
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": kind, "name": name}
    api.made(BINDINGS, {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})


def may(account: Api, verb: str, resource: str, group: str = "", **more: str) -> bool:
    """The server's access review for the account; `namespace=""` means cluster scope."""
    wanted = {"verb": verb, "resource": resource, "group": group, "namespace": account.namespace, **more}
    answer = ok(account.http.post(REVIEWS, json={"spec": {"resourceAttributes": wanted}}), 201)
    return bool(answer["status"]["allowed"])


def wait_may(account: Api, verb: str, resource: str, group: str = "", **more: str) -> None:
    wait_until(lambda: may(account, verb, resource, group, **more), f"may {verb} {resource}")


def test_account_without_roles_may_do_nothing(api: Api, connect: Connect, name: str, train_job: Any) -> None:
    account, user = connect(name), f"system:serviceaccount:{api.namespace}:{name}"
    where = f'in the namespace "{api.namespace}"'
    assert refused(account.get("pods"), 403, "Forbidden") == (
        f'pods is forbidden: User "{user}" cannot list resource "pods" in API group "" {where}'
    )
    answer = account.patch(TRAIN_JOBS, "x", {}, subresource="status")
    assert refused(answer, 403, "Forbidden") == (
        f'trainjobs.darkroom.dev "x" is forbidden: User "{user}" cannot patch resource "trainjobs/status" '
        f'in API group "darkroom.dev" {where}'
    )
    assert answer.json()["details"] == {"name": "x", "group": "darkroom.dev", "kind": "trainjobs"}
    assert refused(account.http.get("/api/v1/nodes"), 403) == (
        f'nodes is forbidden: User "{user}" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    assert refused(account.http.get("/metrics"), 403) == f'forbidden: User "{user}" cannot get path "/metrics"'
    assert "cannot create" in refused(account.create(TRAIN_JOBS, train_job(name)), 403)


@pytest.mark.parametrize("path", ["/version", "/api", "/apis", "/apis/darkroom.dev/v1alpha1", "/openapi/v3"])
def test_every_authenticated_user_may_read_discovery(connect: Connect, name: str, path: str) -> None:
    ok(connect(name).http.get(path))


def test_rule_grants_only_its_verbs_on_its_resources(api: Api, connect: Connect, name: str) -> None:
    account = connect(name)
    grant(api, name, a_rule("get list", "pods"), a_rule("update", "trainjobs/status", "darkroom.dev"))
    wait_may(account, "list", "pods")
    ok(account.get("pods"))
    refused(account.get("pods", "none"), 404)
    refused(account.get("pods", watch="true"), 403)
    refused(account.http.get("/api/v1/pods"), 403)
    refused(account.http.get(api.path("pods", "none", "log")), 403)
    assert may(account, "update", "trainjobs", "darkroom.dev", subresource="status")
    assert not may(account, "update", "trainjobs", "darkroom.dev")
    assert not may(account, "update", "trainjobs", subresource="status")


def test_rule_can_be_limited_to_named_objects(api: Api, connect: Connect, name: str) -> None:
    account = connect(name)
    grant(api, name, a_rule("get list", "configmaps", resourceNames=["mine"]))
    wait_may(account, "get", "configmaps", name="mine")
    refused(account.get("configmaps", "mine"), 404)
    refused(account.get("configmaps", "other"), 403)
    refused(account.get("configmaps"), 403)
    ok(account.get("configmaps", fieldSelector="metadata.name=mine"))


def test_wildcard_grants_everything(api: Api, connect: Connect, name: str) -> None:
    account = connect(name)
    grant(api, name, a_rule("*", "*", "*"))
    wait_may(account, "deletecollection", "trainjobs", "darkroom.dev", subresource="status")
    assert not may(account, "list", "pods", namespace="")


def test_deletecollection_is_a_separate_permission(api: Api, connect: Connect, name: str) -> None:
    account = connect(name)
    grant(api, name, a_rule("delete", "configmaps"))
    wait_may(account, "delete", "configmaps")
    refused(account.delete("configmaps", "none"), 404)
    message = refused(account.http.delete(api.path("configmaps")), 403)
    assert "cannot deletecollection" in message


def test_role_can_be_bound_to_a_group(api: Api, connect: Connect, name: str) -> None:
    account = connect(name)
    api.made(ROLES, {"metadata": {"name": name}, "rules": [a_rule("list", "endpoints")]})
    bind(api, name, {"kind": "Group", "name": f"system:serviceaccounts:{api.namespace}"})
    wait_may(account, "list", "endpoints")
    ok(api.delete(BINDINGS, name))


def test_cluster_role_applies_where_it_is_bound(api: Api, connect: Connect, name: str) -> None:
    account, subject = connect(name), {"kind": "ServiceAccount", "name": name, "namespace": api.namespace}
    role = {"metadata": {"name": name}, "rules": [a_rule("list", "pods nodes")]}
    ok(api.http.post(f"{CLUSTER}/clusterroles", json=role), 201)
    bind(api, name, subject, kind="ClusterRole")
    wait_may(account, "list", "pods")
    assert not may(account, "list", "pods", namespace="")
    reference = {"apiGroup": RBAC.partition("/")[0], "kind": "ClusterRole", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    ok(api.http.post(f"{CLUSTER}/clusterrolebindings", json=binding), 201)
    wait_may(account, "list", "pods", namespace="")
    ok(account.http.get("/api/v1/nodes"))
    for plural in ("clusterrolebindings", "clusterroles"):
        ok(api.http.delete(f"{CLUSTER}/{plural}/{name}"))


def test_applying_a_missing_object_requires_create_permission(api: Api, connect: Connect, name: str) -> None:
    account = connect(name)
    grant(api, name, a_rule("patch", "configmaps"))
    wait_may(account, "patch", "configmaps")
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}}
    refused(account.apply("configmaps", document, "tests"), 403, "Forbidden")
    assert not api.exists("configmaps", name)
    api.made("configmaps", document)
    ok(account.apply("configmaps", {**document, "data": {"b": "2"}}, "tests"))
    assert api.read("configmaps", name)["data"] == {"a": "1", "b": "2"}


def test_revoked_permission_no_longer_applies(api: Api, connect: Connect, name: str) -> None:
    account = connect(name)
    grant(api, name, a_rule("list watch", "pods"))
    wait_may(account, "watch", "pods")
    version = ok(account.get("pods"))["metadata"]["resourceVersion"]
    ok(api.patch(ROLES, name, {"rules": [a_rule("list", "pods")]}))
    wait_until(lambda: not may(account, "watch", "pods"), "the permission to watch is revoked")
    refused(account.get("pods", watch="true", resourceVersion=version), 403)
    ok(account.get("pods"))
    ok(api.delete(BINDINGS, name))
    wait_until(lambda: account.get("pods").status_code == 403, "the permission to list is revoked")


def test_token_becomes_invalid_with_its_account(api: Api, connect: Connect, name: str) -> None:
    account = connect(name)
    ok(account.http.get("/version"))
    ok(api.delete("serviceaccounts", name))
    wait_until(lambda: account.http.get("/api").status_code == 401, "the token is rejected")
    api.made("serviceaccounts", {"metadata": {"name": name}})
    refused(account.http.get("/api"), 401, "Unauthorized")


def test_token_reports_its_expiry_and_has_a_minimum_duration(api: Api, name: str) -> None:
    api.made("serviceaccounts", {"metadata": {"name": name}})
    path = api.path("serviceaccounts", name, "token")
    made = ok(api.http.post(path, json={"spec": {"expirationSeconds": 600}}), 201)
    assert made["kind"] == "TokenRequest"
    assert made["status"]["expirationTimestamp"].endswith("Z")
    message = refused(api.http.post(path, json={"spec": {"expirationSeconds": 60}}), 422, "Invalid")
    assert "may not specify a duration less than 10 minutes" in message
    refused(api.http.post(api.path("serviceaccounts", "none", "token"), json={"spec": {}}), 404)


def test_roles_are_validated_and_role_references_are_immutable(api: Api, name: str) -> None:
    message = refused(api.create(ROLES, {"metadata": {"name": name}, "rules": [{"verbs": ["get"]}]}), 422)
    assert "resource rules must supply at least one api group" in message
    api.made(ROLES, {"metadata": {"name": name}, "rules": []})
    bind(api, name, {"kind": "ServiceAccount", "name": name, "namespace": api.namespace})
    changed = {"roleRef": {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": "another"}}
    assert "cannot change roleRef" in refused(api.patch(BINDINGS, name, changed), 422)


def test_kubectl_creates_tokens_and_checks_permissions(api: Api, kubectl: Any, name: str, tmp_path: Path) -> None:
    kubectl("create", "serviceaccount", name)
    kubectl("create", "role", name, "--verb=get,list", "--resource=pods,pods/log")
    kubectl("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={api.namespace}:{name}")
    kubeconfig = tmp_path / "account.yaml"
    token = kubectl("create", "token", name).strip()
    kubeconfig.write_text(kubeconfig_with_token(api.kubeconfig, token, api.namespace))
    own = ("--kubeconfig", str(kubeconfig))
    user = f"system:serviceaccount:{api.namespace}:{name}"
    assert json.loads(kubectl("auth", "whoami", "-o", "json", *own))["status"]["userInfo"]["username"] == user
    kubectl("get", "pods", *own)
    assert f'User "{user}" cannot list resource "secrets"' in kubectl.error("get", "secrets", *own)
    listed = [line.split() for line in kubectl("auth", "can-i", "--list", *own).splitlines()]
    assert ["pods/log", "[]", "[]", "[get", "list]"] in listed
    assert kubectl("auth", "can-i", "get", "pods/log", f"--as={user}").strip() == "yes"
    assert kubectl.run("auth", "can-i", "delete", "pods", f"--as={user}").stdout.strip() == "no"
