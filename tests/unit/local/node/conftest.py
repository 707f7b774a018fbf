"""A node as a process, beside a real embedded API server, with small Python programs in place of the runner."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.waiting import patience

from darkroom_contract import names
from darkroom_local.kubeconfig import read_kubeconfig, write_kubeconfig
from darkroom_local.node.record import Interval, read_record
from darkroom_local.ports import free_ports
from darkroom_local.tether import tethered

PATIENCE_SECONDS = 60
Json = dict[str, Any]

wait_until = patience(PATIENCE_SECONDS)


class Process:
    """One program of ours, which can be killed and started again."""

    def __init__(self, command: list[str], log_path: Path, health_url: str) -> None:
        self._command = command
        self._log_path = log_path
        self._health_url = health_url
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log_path.open("ab") as log:
            self.running = subprocess.Popen(
                tethered([sys.executable, *self._command]), env={"PATH": os.defpath}, stdout=log, stderr=log
            )
        wait_until(self._answers, f"{self._command} answers")

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.running is not None
        self.running.send_signal(number)
        return self.running.wait(timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        if self.running is not None and self.running.returncode is None:
            self.stop()

    def log(self) -> str:
        return self._log_path.read_text(encoding="utf-8")

    def _answers(self) -> bool:
        assert self.running is not None
        assert self.running.poll() is None, self.log()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(self._health_url, trust_env=False, timeout=2).status_code == 200
        return False


class Api:
    """What the operator does to pods, in short words."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        connection = read_kubeconfig(kubeconfig)
        self.kubeconfig, self.namespace = kubeconfig, namespace
        headers = {"Authorization": f"Bearer {connection.token}"} if connection.token else {}
        self.http = httpx.Client(
            base_url=connection.server, headers=headers, verify=connection.verify, trust_env=False, timeout=10
        )

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
        """What happens to the pods of the namespace from now on."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        version = self.request("GET", path)["metadata"]["resourceVersion"]
        with self.http.stream("GET", path, params={"watch": "true", "resourceVersion": version}, timeout=30) as stream:
            yield (json.loads(line) for line in stream.iter_lines())

    def run(self, name: str, *command: str, **spec: Any) -> str:
        """Create a runner's pod; its uid."""
        return self.create("pods", runner_pod(name, *command, **spec))["metadata"]["uid"]

    def remove_pods(self) -> None:
        """All of them, at once, and what they need."""
        for plural in ("pods", "secrets", "configmaps"):
            path = f"/api/v1/namespaces/{self.namespace}/{plural}"
            self.request("DELETE", path, params={"gracePeriodSeconds": "0"})
            wait_until(lambda path=path: not self.request("GET", path)["items"], f"{plural} are gone")

    def phase(self, name: str) -> str | None:
        pod = self.pod(name)
        return pod["status"].get("phase") if pod else None

    def state(self, name: str) -> Json:
        """The state of the pod's container: waiting, running or terminated, with what is said of it."""
        statuses = ((self.pod(name) or {}).get("status") or {}).get("containerStatuses") or [{}]
        return statuses[0].get("state") or {}

    def await_phase(self, name: str, phase: str) -> Json:
        wait_until(lambda: self.phase(name) == phase, f"{name} is {phase} (it is {self.pod(name)})")
        return self.pod(name) or {}

    def await_gone(self, name: str) -> None:
        wait_until(lambda: self.pod(name) is None, f"{name} is gone")

    def await_waiting(self, name: str, reason: str) -> str:
        """The message of a container that waits for this reason."""
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


class NodeUnderTest(Process):
    """The node, its record, and the programs that its pods may run."""

    def __init__(self, kubeconfig: Path, namespace: str, folder: Path, *options: str) -> None:
        self.data_dir, self.bin_dir = folder / "node", folder / "bin"
        self.name = f"node-{secrets.token_hex(4)}"
        self._earlier = 0
        self.bin_dir.mkdir()
        (self.port,) = free_ports(1)
        command = ["-m", "darkroom_local.node", "--kubeconfig", str(kubeconfig), "--namespace", namespace]
        command += ["--name", self.name, "--data-dir", str(self.data_dir), "--bin-dir", str(self.bin_dir)]
        command += ["--port", str(self.port), "--shutdown-grace-seconds", "1", *options]
        super().__init__(command, folder / "node.log", f"http://127.0.0.1:{self.port}/healthz")

    def program(self, name: str, body: str) -> None:
        """A program for pods, in Python."""
        path = self.bin_dir / name
        path.write_text(f"#!{sys.executable} -S\n{body}", encoding="utf-8")
        path.chmod(0o755)

    def second_start(self) -> str:
        """What another node on the same folder says before it gives up."""
        environment = {"PATH": os.defpath}
        command = [sys.executable, *self._command]
        second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert second.returncode == 1
        return second.stderr

    def forget(self) -> None:
        """Begin anew: without programs, and without the runs of earlier tests."""
        for program in self.bin_dir.iterdir():
            program.unlink()
        self._earlier = len(read_record(self.data_dir / "record.jsonl"))

    def runs(self) -> list[Interval]:
        return read_record(self.data_dir / "record.jsonl")[self._earlier :]

    def run_of(self, pod: str) -> Interval | None:
        return next((run for run in self.runs() if run.pod_name == pod), None)

    def await_run(self, pod: str) -> Interval:
        run: Interval = wait_until(lambda: self.run_of(pod), f"{pod} is on record")
        return run

    def folder_of(self, uid: str, container: str = names.RUNNER_CONTAINER) -> Path:
        return self.data_dir / "pods" / uid / "containers" / container

    def log_of(self, uid: str, container: str = names.RUNNER_CONTAINER) -> Path:
        return self.folder_of(uid, container) / "log"

    def await_log(self, uid: str, text: str) -> None:
        log = self.log_of(uid)
        wait_until(lambda: log.exists() and text in log.read_text(encoding="utf-8"), f"{text!r} in the log")


class ApiServer(Process):
    """The embedded API server in a folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        token = secrets.token_hex(16)
        (port,) = free_ports(1)
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(write_kubeconfig(f"http://127.0.0.1:{port}", token, "default"), encoding="utf-8")
        (folder / "token").write_text(token, encoding="utf-8")
        (folder / "apiserver").mkdir()
        command = ["-m", "darkroom_local.apiserver", "--data-dir", str(folder / "apiserver")]
        command += ["--port", str(port), "--token-file", str(folder / "token"), *options]
        super().__init__(command, folder / "apiserver.log", f"http://127.0.0.1:{port}/readyz")


@pytest.fixture(scope="package")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One for all tests of the node; each has a namespace of its own."""
    server = ApiServer(tmp_path_factory.mktemp("apiserver"))
    server.start()
    yield server
    server.close()


@contextlib.contextmanager
def _namespace(server: ApiServer) -> Iterator[Api]:
    namespace = f"node-{secrets.token_hex(4)}"
    api = Api(server.kubeconfig, namespace)
    api.request("POST", "/api/v1/namespaces", json={"metadata": {"name": namespace}})
    yield api
    api.request("DELETE", f"/api/v1/namespaces/{namespace}")
    api.http.close()


@contextlib.contextmanager
def _node(api: Api, folder: Path, *options: str) -> Iterator[NodeUnderTest]:
    node = NodeUnderTest(api.kubeconfig, api.namespace, folder, *options)
    node.start()
    yield node
    node.close()
    api.request("DELETE", f"/api/v1/nodes/{node.name}")


@pytest.fixture(scope="package")
def api(api_server: ApiServer) -> Iterator[Api]:
    with _namespace(api_server) as api:
        yield api


@pytest.fixture(scope="package")
def shared_node(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeUnderTest]:
    with _node(api, tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture
def node(api: Api, shared_node: NodeUnderTest) -> Iterator[NodeUnderTest]:
    """A node that other tests use too, without pods, programs or runs of theirs."""
    shared_node.forget()
    yield shared_node
    api.remove_pods()


@pytest.fixture
def own_api(api_server: ApiServer) -> Iterator[Api]:
    with _namespace(api_server) as api:
        yield api


@pytest.fixture
def own_node(own_api: Api, tmp_path: Path) -> Iterator[NodeUnderTest]:
    """A node for one test, which may kill it."""
    with _node(own_api, tmp_path) as node:
        yield node


@pytest.fixture(scope="module")
def quick_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One that counts a node as lost after two seconds."""
    server = ApiServer(tmp_path_factory.mktemp("quick"), "--node-monitor-grace-seconds", "2")
    server.start()
    yield server
    server.close()


@pytest.fixture
def quick_api(quick_server: ApiServer) -> Iterator[Api]:
    with _namespace(quick_server) as api:
        yield api


@pytest.fixture
def quick_node(quick_api: Api, tmp_path: Path) -> Iterator[NodeUnderTest]:
    with _node(quick_api, tmp_path, "--heartbeat-seconds", "0.5") as node:
        yield node
