"""A release of the chart on a local API server with RBAC: installed by Helm's engine, its Deployments run as processes.

Every request of theirs passes a proxy that writes it down.
"""

import base64
import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import helm_python
import httpx
from helm_python import _native

from darkroom_local.processes.ports import free_ports
from support.access_log import AccessLog
from support.chart import CHART
from support.deployments import RunningDeployment, run_deployment
from support.kube_api import Api, ApiServer, Json, ok, wait_until
from support.operator_processes import Namespace
from support.s3_server import BUCKET, S3Server

NAMESPACE, RELEASE = "studio", "darkroom"
S3_SECRET = "darkroom-s3"


@dataclass
class Programs:
    """What a release runs, one process a Deployment."""

    gateway: RunningDeployment
    operator: RunningDeployment
    port: int
    """The gateway's."""
    metrics_ports: tuple[int, int]
    _stack: contextlib.ExitStack = field(repr=False)

    def client(self, key: str) -> httpx.Client:
        """As a user with an API key."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, trust_env=False, timeout=30)

    def metrics(self) -> list[str]:
        """What Prometheus would get of each."""
        return [
            httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=10).raise_for_status().text
            for port in self.metrics_ports
        ]

    def stop(self) -> None:
        """SIGTERM; each must end in good order."""
        self._stack.close()


class Installation:
    """The cluster, and what is done with the chart on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = ApiServer(folder, "--rbac", namespace=NAMESPACE)
        self.api = Api(self.server.kubeconfig, NAMESPACE)
        self.log = AccessLog(self.server.url)
        self.config: helm_python.Config
        self._s3_url = ""
        self._open = contextlib.ExitStack()
        self._behind_the_log: Api

    @contextlib.contextmanager
    def running(self) -> Iterator["Installation"]:
        with self._open as stack:
            stack.callback(self.api.http.close)
            stack.enter_context(self.server)
            ok(self.api.http.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}}), 201)
            stack.enter_context(self.log)
            self._behind_the_log = self._to_the_log()
            stack.callback(self._behind_the_log.http.close)
            s3 = stack.enter_context(S3Server(self.folder))
            self._s3_url = s3.url
            self.api.made("secrets", {"metadata": {"name": S3_SECRET}, "stringData": s3.credentials})
            config = helm_python.Config(kubeconfig_path=self.server.kubeconfig, namespace=NAMESPACE)
            self.config = stack.enter_context(config)
            yield self

    def _to_the_log(self) -> Api:
        kubeconfig = self.folder / "to-the-log.yaml"
        kubeconfig.write_text(self.server.kubeconfig.read_text().replace(self.server.url, self.log.url))
        return Api(kubeconfig, NAMESPACE)

    def clear(self) -> None:
        """Uninstall the release, and delete what it leaves behind, except for its CRDs."""
        self.config.uninstall(RELEASE, ignore_not_found=True)
        for plural, name in (("secrets", "api-keys"), ("persistentvolumeclaims", "models")):
            self.api.delete(plural, f"{RELEASE}-{name}")

    @property
    def jobs(self) -> Namespace:
        """As users and nodes see them."""
        return Namespace(self.api, NAMESPACE)  # type: ignore[arg-type]  # All that it needs is there.

    def values(self, **more: Any) -> Json:
        storage = {"s3": {"bucket": BUCKET, "endpointUrl": self._s3_url, "existingSecret": S3_SECRET}}
        return {"storage": storage, "runner": {"gpu": {"count": 0}}, **more}

    def install(self, chart: Path = CHART, name: str = RELEASE, **values: Any) -> Json:
        release: Json = self.config.install(str(chart), name, self.values(**values))
        return release

    def upgrade(self, **values: Any) -> None:
        self.config.upgrade(str(CHART), RELEASE, self.values(**values))

    def upgrade_by_force(self, **values: Any) -> None:
        """As `helm upgrade --force-conflicts`: an option of Helm's that helm_python's own method does not hand on."""
        config = self.config
        arguments = [config._raw(), config._context_arg(None), *config._chart_args(str(CHART)), RELEASE]
        options = json.dumps({"force_conflicts": True})
        _native.call_string("helm_upgrade", *arguments, json.dumps(self.values(**values)), options)

    def key(self, name: str = "default") -> str:
        data = self.api.read("secrets", f"{RELEASE}-api-keys")["data"]
        return base64.b64decode(data[name]).decode()

    def start(self) -> Programs:
        """The release's Deployments as they are now; ready when this returns."""
        stack = self._open.enter_context(contextlib.ExitStack())
        port, metrics, health = free_ports(3)
        here = {"DARKROOM_GATEWAY_HOST": "127.0.0.1", "DARKROOM_HEALTH_HOST": "127.0.0.1"}
        here |= {"DARKROOM_GATEWAY_PORT": str(port), "DARKROOM_GATEWAY_METRICS_PORT": str(metrics)}
        # One process instead of several behind a Service: there are no endpoints to drain.
        here |= {"DARKROOM_HEALTH_PORT": str(health), "DARKROOM_GATEWAY_DRAIN_SECONDS": "0"}
        started = [
            stack.enter_context(
                run_deployment(
                    self._behind_the_log,
                    NAMESPACE,
                    f"{RELEASE}-{component}",
                    root=self.folder / f"{component}-{secrets.token_hex(3)}",
                    extra_env=here,
                )
            )
            for component in ("gateway", "operator")
        ]
        programs = Programs(*started, port=port, metrics_ports=(metrics, health), _stack=stack)
        wait_until(lambda: _answers(port, "/readyz", programs.gateway), "the gateway is ready")
        wait_until(lambda: _answers(health, "/readyz", programs.operator), "the operator is ready")
        return programs


def _answers(port: int, path: str, program: RunningDeployment) -> bool:
    assert not program.process.ended(), program.process.log()
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
