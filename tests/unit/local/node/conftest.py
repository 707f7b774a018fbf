"""A node process with an embedded API server; small Python programs replace the runner."""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kube_api import ApiServer, http_client
from support.local_node import NodeUnderTest, wait_until
from support.server_process import Process
from support.warm_parent.installation import WarmParent

from darkroom_contract import names
from darkroom_local.kube.kubeconfig import read_kubeconfig

Json = dict[str, Any]


class Api:
    """The operator's requests for pods."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self.http = http_client(read_kubeconfig(kubeconfig))

    def request(self, method: str, path: str, **options: Any) -> Json:
        response = self.http.request(method, path, **options)
        assert response.status_code < 300, response.text
        return response.json()

    def create(self, plural: str, document: Json) -> Json:
        return self.request("POST", f"/api/v1/namespaces/{self.namespace}/{plural}", json=document)

    def pod(self, name: str) -> Json | None:
        response = self.http.get(f"/api/v1/namespaces/{self.namespace}/pods/{name}")
        return response.json() if response.status_code == 200 else None

    def patch_pod(self, name: str, patch: Json) -> Json:
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}"
        return self.request("PATCH", path, content=json.dumps(patch), headers=headers)

    def delete_pod(self, name: str, **options: Any) -> None:
        self.request("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{name}", json=options)

    @contextlib.contextmanager
    def watch(self) -> Iterator[Iterator[Json]]:
        """Watch events of the namespace's pods from now on."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        version = self.request("GET", path)["metadata"]["resourceVersion"]
        with self.http.stream("GET", path, params={"watch": "true", "resourceVersion": version}, timeout=30) as stream:
            yield (json.loads(line) for line in stream.iter_lines())

    def run(self, name: str, *command: str, **spec: Any) -> str:
        """Create a runner pod and return its uid."""
        return self.create("pods", runner_pod(name, *command, **spec))["metadata"]["uid"]

    def remove_pods(self) -> None:
        """Delete all pods, Secrets and ConfigMaps, without a grace period."""
        for plural in ("pods", "secrets", "configmaps"):
            path = f"/api/v1/namespaces/{self.namespace}/{plural}"
            self.request("DELETE", path, params={"gracePeriodSeconds": "0"})
            wait_until(lambda path=path: not self.request("GET", path)["items"], f"{plural} are gone")

    def phase(self, name: str) -> str | None:
        pod = self.pod(name)
        return pod["status"].get("phase") if pod else None

    def state(self, name: str) -> Json:
        """The state of the pod's first container: waiting, running or terminated, with details."""
        statuses = ((self.pod(name) or {}).get("status") or {}).get("containerStatuses") or [{}]
        return statuses[0].get("state") or {}

    def await_phase(self, name: str, phase: str) -> Json:
        wait_until(lambda: self.phase(name) == phase, f"{name} is {phase} (it is {self.pod(name)})")
        return self.pod(name) or {}

    def await_gone(self, name: str) -> None:
        wait_until(lambda: self.pod(name) is None, f"{name} is gone")

    def await_waiting(self, name: str, reason: str) -> str:
        """Wait for a waiting container with this reason, and return its message."""
        wait_until(lambda: self.state(name).get("waiting", {}).get("reason") == reason, f"{name} waits: {reason}")
        return self.state(name)["waiting"]["message"]


def runner_pod(name: str, *command: str, **spec: Any) -> Json:
    container = {
        "name": names.RUNNER_CONTAINER,
        "image": "darkroom/runner:local",
        "command": list(command),
        "resources": {"limits": {"darkroom.dev/gpu": "1"}, "requests": {"darkroom.dev/gpu": "1"}},
    } | spec.pop("container", {})
    labels = {names.LABEL_COMPONENT: names.RUNNER_COMPONENT, names.LABEL_JOB_NAME: f"job-of-{name}"}
    metadata = {"name": name, "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"restartPolicy": "Never", "containers": [container]} | spec,
    }


@pytest.fixture(scope="package")
def api_server(tmp_path_factory: pytest.TempPathFactory, warm_local: WarmParent) -> Iterator[ApiServer]:
    """One for all tests of the node; each has a namespace of its own."""
    with ApiServer(tmp_path_factory.mktemp("apiserver"), python=warm_local.forking_python) as server:
        yield server


@contextlib.contextmanager
def _namespace(server: ApiServer) -> Iterator[Api]:
    namespace = f"node-{secrets.token_hex(4)}"
    api = Api(server.kubeconfig, namespace)
    api.request("POST", "/api/v1/namespaces", json={"metadata": {"name": namespace}})
    yield api
    api.request("DELETE", f"/api/v1/namespaces/{namespace}")
    api.http.close()


@contextlib.contextmanager
def _node(api: Api, folder: Path, warm_local: WarmParent, *options: str) -> Iterator[NodeUnderTest]:
    node = NodeUnderTest(api.kubeconfig, api.namespace, folder, *options, python=warm_local.forking_python)
    node.start()
    yield node
    node.close()
    api.http.delete(f"/api/v1/nodes/{node.name}")


@pytest.fixture(scope="package")
def api(api_server: ApiServer) -> Iterator[Api]:
    with _namespace(api_server) as api:
        yield api


@pytest.fixture(scope="package")
def shared_node(api: Api, tmp_path_factory: pytest.TempPathFactory, warm_local: WarmParent) -> Iterator[NodeUnderTest]:
    with _node(api, tmp_path_factory.mktemp("node"), warm_local) as node:
        yield node


@pytest.fixture
def node(api: Api, shared_node: NodeUnderTest) -> Iterator[NodeUnderTest]:
    """A shared node, without the pods, programs and runs of other tests."""
    shared_node.forget()
    yield shared_node
    api.remove_pods()


@pytest.fixture
def own_api(api_server: ApiServer) -> Iterator[Api]:
    with _namespace(api_server) as api:
        yield api


@pytest.fixture
def own_node(own_api: Api, tmp_path: Path, warm_local: WarmParent) -> Iterator[NodeUnderTest]:
    """A node for one test, which may kill it."""
    with _node(own_api, tmp_path, warm_local) as node:
        yield node


@pytest.fixture(scope="module")
def quick_server(tmp_path_factory: pytest.TempPathFactory, warm_local: WarmParent) -> Iterator[ApiServer]:
    """One that counts a node as lost after three seconds."""
    grace, folder = ("--node-monitor-grace-seconds", "3"), tmp_path_factory.mktemp("quick")
    with ApiServer(folder, *grace, python=warm_local.forking_python) as server:
        yield server


@pytest.fixture
def quick_api(quick_server: ApiServer) -> Iterator[Api]:
    with _namespace(quick_server) as api:
        yield api


@pytest.fixture
def quick_node(quick_api: Api, tmp_path: Path, warm_local: WarmParent) -> Iterator[NodeUnderTest]:
    with _node(quick_api, tmp_path, warm_local, "--heartbeat-seconds", "0.5") as node:
        yield node


@pytest.fixture
def frozen() -> Iterator[Callable[[Process], None]]:
    """Stops processes with SIGSTOP, and continues them after the test."""
    processes: list[Process] = []

    def freeze(process: Process) -> None:
        process.pause()
        processes.append(process)

    yield freeze
    for process in processes:
        process.resume()
