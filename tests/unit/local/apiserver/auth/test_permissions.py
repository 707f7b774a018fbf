"""RBAC enforcement across a restart, and a server without enforcement."""

from collections.abc import Callable
from pathlib import Path

from support.kube_api import Api, ApiServer, kubeconfig_with_token, ok, refused
from support.warm_parent.installation import WarmParent

TOKEN = "/api/v1/namespaces/default/serviceaccounts/gateway/token"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"


def account(admin: Api, server: ApiServer, folder: Path) -> Path:
    """The kubeconfig of a ServiceAccount."""
    admin.made("serviceaccounts", {"metadata": {"name": "gateway"}})
    token = ok(admin.http.post(TOKEN, json={"spec": {}}), 201)["status"]["token"]
    kubeconfig = folder / "account.yaml"
    kubeconfig.write_text(kubeconfig_with_token(server.kubeconfig, token, "default"))
    return kubeconfig


def test_tokens_and_permissions_survive_a_restart(
    tmp_path: Path, connect: Callable[[ApiServer], Api], warm_local: WarmParent
) -> None:
    server = ApiServer(tmp_path, "--rbac", python=warm_local.forking_python)
    server.start()
    admin = connect(server)
    own = Api(account(admin, server, tmp_path), "default")
    ok(own.http.get("/version"))
    refused(own.get("pods"), 403)
    own.http.close()
    server.kill()
    server.start()
    own = Api(own.kubeconfig, "default")
    ok(own.http.get("/version"))
    refused(own.get("pods"), 403)
    ok(connect(server).get("pods"))
    assert ok(connect(server).http.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin"))["rules"]
    own.http.close()
    server.stop()


def test_server_without_enforcement_allows_everything(
    server: ApiServer, tmp_path: Path, connect: Callable[[ApiServer], Api]
) -> None:
    own = Api(account(connect(server), server, tmp_path), "default")
    ok(own.get("pods"))
    wanted = {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "default"}}
    assert ok(own.http.post(REVIEW, json={"spec": wanted}), 201)["status"] == {"allowed": True}
    rules = ok(own.http.post(RULES_REVIEW, json={"spec": {"namespace": "default"}}), 201)["status"]
    assert rules["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    own.http.close()
