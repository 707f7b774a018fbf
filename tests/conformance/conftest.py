"""Conformance tests: the behaviour of an API server that Darkroom relies on.

They run against the embedded server, or with `KUBECONFIG=path make conformance` against any cluster. There everything
happens in a new namespace, which is deleted afterwards; the two CRDs are applied and stay. Most tests need no node:
their pods are gated, or bound to a node that does not exist. `test_kubelet.py` uses the local node, and the cluster's
own nodes too if DARKROOM_CONFORMANCE_IMAGE names an image with a shell. The cluster must run its controllers (garbage
collection, namespaces, node lifecycle).
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from support.kube_api import APPLY, Api, ApiServer, Json, ok, wait_until
from support.local_node import NodeUnderTest
from support.warm_parent.installation import WarmParent

CRDS = Path(__file__).parents[2] / "crds"
CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KUBECTL = Path(sys.executable).parent / "kubectl"
NODE = "darkroom-no-such-node"
NODE_GRACE_SECONDS = 5
"""Of the embedded server; the default of Kubernetes is 50."""


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory, warm_local: WarmParent) -> Iterator[Path]:
    if named := os.environ.get("KUBECONFIG"):
        yield Path(named).absolute()
        return
    quick = ("--node-monitor-grace-seconds", str(NODE_GRACE_SECONDS))
    folder, python = tmp_path_factory.mktemp("apiserver"), warm_local.forking_python
    with ApiServer(folder, "--rbac", *quick, python=python) as server:
        yield server.kubeconfig
    assert "Traceback" not in server.log()


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[Api]:
    """The API server, with the CRDs installed and a namespace that accepts pods."""
    found = Api(kubeconfig, f"darkroom-conformance-{secrets.token_hex(4)}")
    _install_crds(found)
    ok(found.http.post("/api/v1/namespaces", json={"metadata": {"name": found.namespace}}), 201)
    # A full cluster rejects pods until the namespace has its service account.
    wait_until(lambda: found.create("pods", a_pod("probe"), dryRun="All").status_code == 201, "pods are accepted")
    yield found
    ok(found.http.delete(f"/api/v1/namespaces/{found.namespace}"))
    found.http.close()


def _install_crds(api: Api) -> None:
    for path in sorted(CRDS.glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        name = definition["metadata"]["name"]
        query = {"fieldManager": "darkroom-conformance", "force": "true"}
        headers = {"Content-Type": APPLY}
        answer = api.http.patch(f"{CRDS_PATH}/{name}", content=path.read_text(), headers=headers, params=query)
        assert answer.status_code in (200, 201), answer.text
        plural = definition["spec"]["names"]["plural"]
        wait_until(
            lambda plural=plural: api.http.get(f"/apis/darkroom.dev/v1alpha1/{plural}").status_code == 200,
            f"{plural} are served",
        )


@pytest.fixture
def name() -> str:
    """A unique name."""
    return f"test-{secrets.token_hex(5)}"


def a_train_job(name: str, **spec: Any) -> Json:
    """Suspended, so that an operator in the cluster does not run it."""
    given = {"suspend": True, "modelId": "cat", "prompt": "a photo of sks cat", "dataset": {"uri": "s3://bucket/cat/"}}
    return {
        "apiVersion": "darkroom.dev/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {**given, **spec},
    }


def a_generate_job(name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "darkroom.dev/v1alpha1",
        "kind": "GenerateJob",
        "metadata": {"name": name},
        "spec": {"suspend": True, "prompt": "a red circle", **spec},
    }


def a_pod(name: str, **spec: Any) -> Json:
    """Gated, so that no scheduler binds it."""
    given = {
        "schedulingGates": [{"name": "darkroom.dev/conformance"}],
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": "registry.invalid/none:1"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {**given, **spec}}


def an_unbound_pod(name: str, **spec: Any) -> Json:
    """A pod for a scheduler that does not exist."""
    return a_pod(name, **{"schedulingGates": [], "schedulerName": "nobody", **spec})


@pytest.fixture
def train_job() -> Callable[..., Json]:
    return a_train_job


@pytest.fixture
def generate_job() -> Callable[..., Json]:
    return a_generate_job


@pytest.fixture
def gated_pod() -> Callable[..., Json]:
    return a_pod


@pytest.fixture
def unbound_pod() -> Callable[..., Json]:
    return an_unbound_pod


@pytest.fixture
def bound_pod(api: Api) -> Callable[..., Json]:
    """Creates a pod and binds it to a node that does not exist, so that no kubelet stops it."""

    def make(name: str, **spec: Any) -> Json:
        api.made("pods", an_unbound_pod(name, **spec))
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"name": NODE}}
        ok(api.http.post(api.path("pods", name, "binding"), json=binding), 201)
        return api.read("pods", name)

    return make


@pytest.fixture(scope="session")
def local_node(api: Api, tmp_path_factory: pytest.TempPathFactory, warm_local: WarmParent) -> Iterator[NodeUnderTest]:
    """The local node as a Node of the cluster, whose pods may run a shell. It runs the pods bound to it."""
    folder, often = tmp_path_factory.mktemp("node"), ("--heartbeat-seconds", "1")
    node = NodeUnderTest(api.kubeconfig, api.namespace, folder, *often, python=warm_local.forking_python)
    (node.bin_dir / "sh").symlink_to("/bin/sh")
    node.start()
    yield node
    node.close()
    api.http.delete(f"/api/v1/nodes/{node.name}")


class Kubectl:
    """The real kubectl with the suite's namespace."""

    def __init__(self, api: Api, home: Path) -> None:
        self._command = [str(KUBECTL), "--kubeconfig", str(api.kubeconfig), "--namespace", api.namespace]
        self._environment = {"PATH": os.defpath, "HOME": str(home)}

    def start(self, *words: str, stdout: int | IO[str] = subprocess.PIPE) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*self._command, *words], env=self._environment, stdout=stdout, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._command, *words], env=self._environment, input=stdin, capture_output=True, text=True, timeout=60
        )

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        """Run a command that must succeed; returns its standard output."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def error(self, *words: str, stdin: str | None = None) -> str:
        """Run a command that must fail; returns its standard error."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode != 0, f"kubectl {' '.join(words)} succeeded: {done.stdout}"
        return done.stderr.strip()


@pytest.fixture(scope="session")
def kubectl(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return Kubectl(api, tmp_path_factory.mktemp("home"))
