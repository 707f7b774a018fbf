"""Running a Deployment's container as a process (`support.deployments`), as the chart's tests do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.deployments import RunningDeployment, run_deployment
from support.kube_api import Api, ApiServer, Json, ok, refused, wait_until
from support.warm_parent.installation import WarmParent

PROGRAM = """
import json, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print(json.dumps({"env": dict(os.environ), "words": sys.argv[1:]}), flush=True)
signal.sigwait({signal.SIGTERM})
"""
"""Blocked, a signal that arrives before the wait is not missed."""
RBAC = "rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, warm_local: WarmParent) -> Iterator[Api]:
    server = ApiServer(tmp_path_factory.mktemp("apiserver"), "--rbac", python=warm_local.forking_python)
    server.start()
    api = Api(server.kubeconfig, "default")
    _install(api)
    yield api
    api.http.close()
    server.stop()


def _install(api: Api) -> None:
    api.made("serviceaccounts", {"metadata": {"name": "gateway"}})
    rule = {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}
    api.made(f"roles.{RBAC}", {"metadata": {"name": "reads"}, "rules": [rule]})
    subjects = [{"kind": "ServiceAccount", "name": "gateway", "namespace": "default"}]
    binding = {"roleRef": {"kind": "Role", "name": "reads"}, "subjects": subjects}
    api.made(f"rolebindings.{RBAC}", {"metadata": {"name": "reads"}, **binding})
    api.made("secrets", {"metadata": {"name": "keys"}, "stringData": {"default": "first key", "unused": "x"}})
    api.made("configmaps", {"metadata": {"name": "settings"}, "data": {"LEVEL": "info", "template.yaml": "spec: {}"}})
    api.made("deployments.apps/v1", a_deployment("gateway"))


def a_deployment(name: str, **spec: Any) -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {**_pod_spec(), **spec}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


def _pod_spec() -> Json:
    container = {
        "name": "gateway",
        "image": "registry.invalid/gateway:1",
        "command": ["python", "-c", PROGRAM],
        "args": ["--template=/etc/template.yaml", "$(WHO)"],
        "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "MY_"}],
        "env": [
            {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "default"}}},
            {"name": "KEYS_DIR", "value": "/etc/darkroom/api-keys"},
            {"name": "PORT", "value": "8000"},
        ],
        "volumeMounts": [
            {"name": "keys", "mountPath": "/etc/darkroom/api-keys", "readOnly": True},
            {"name": "template", "mountPath": "/etc/template.yaml", "subPath": "template.yaml"},
        ],
    }
    volumes = [
        {"name": "keys", "secret": {"secretName": "keys", "items": [{"key": "default", "path": "default"}]}},
        {"name": "template", "configMap": {"name": "settings"}},
    ]
    return {"serviceAccountName": "gateway", "containers": [container], "volumes": volumes}


def printed(running: RunningDeployment) -> Json:
    """The environment and arguments that the program printed."""
    line = wait_until(lambda: running.process.log(), "the program prints")
    found: Json = json.loads(line)
    return found


def test_the_program_gets_exactly_the_environment_of_its_manifest(api: Api, tmp_path: Path) -> None:
    with run_deployment(api, "default", "gateway", root=tmp_path, extra_env={"PORT": "9"}) as running:
        found = printed(running)
    given = {"WHO", "KEY", "KEYS_DIR", "PORT", "MY_LEVEL", "MY_template.yaml", "KUBECONFIG", "PATH", "HOME", "LANG"}
    assert set(found["env"]) - {"LC_CTYPE"} == given
    assert found["env"]["KEY"] == "first key"
    assert found["env"]["MY_LEVEL"] == "info"
    assert found["env"]["PORT"] == "9"
    assert found["env"]["WHO"].startswith("gateway-")
    flag, who = found["words"]
    assert Path(flag.removeprefix("--template=")).read_text() == "spec: {}"
    assert who == found["env"]["WHO"] == running.pod["metadata"]["name"]


def test_mounted_files_follow_the_secret(api: Api, tmp_path: Path) -> None:
    with run_deployment(api, "default", "gateway", root=tmp_path) as running:
        folder = Path(printed(running)["env"]["KEYS_DIR"])
        assert [file.name for file in folder.iterdir() if not file.name.startswith("..")] == ["default"]
        assert (folder / "default").read_text() == "first key"
        api.patch("secrets", "keys", {"stringData": {"default": "second key"}})
        running.refresh()
        assert (folder / "default").read_text() == "second key"
    api.patch("secrets", "keys", {"stringData": {"default": "first key"}})


def test_it_has_the_permissions_of_its_service_account(api: Api, tmp_path: Path) -> None:
    with run_deployment(api, "default", "gateway", root=tmp_path) as running:
        own = Api(Path(printed(running)["env"]["KUBECONFIG"]), "default")
    ok(own.get("pods"))
    assert 'User "system:serviceaccount:default:gateway" cannot list' in refused(own.get("secrets"), 403)
    own.http.close()


def test_without_a_mounted_token_it_has_no_kubeconfig(api: Api, tmp_path: Path) -> None:
    api.made("deployments.apps/v1", a_deployment("alone", automountServiceAccountToken=False))
    with run_deployment(api, "default", "alone", root=tmp_path) as running:
        assert "KUBECONFIG" not in printed(running)["env"]
