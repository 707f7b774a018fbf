"""Command line, environment and probes of each component of the local cluster. Used by `LocalCluster`.

Gateway, operator and runner are the programs of the container images, configured by environment variables.
"""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from darkroom_contract import environment
from darkroom_contract.tracing.tracing import is_wanted
from darkroom_gateway.settings import WEBHOOK_SECRETS, WebhookAddresses
from darkroom_local.cluster.redis import redis_url
from darkroom_local.node.settings import GPU_RESOURCE, TOLERATION, NodeSettings
from darkroom_local.processes.probes import HttpProbe
from darkroom_local.processes.supervisor import Program
from darkroom_local.s3.storage import BUCKET, EXAMPLE_FOLDERS, Storage
from darkroom_local.state.private_files import write_private
from darkroom_local.state.settings import ClusterSettings
from darkroom_local.state.state_dir import StateDir

RUNNER_IMAGE = "darkroom/runner:local"
"""A name only: the local node has no images, and runs the pod's command."""
RUNNER_SECRET = "darkroom-runner"  # noqa: S105 (the name of a Secret)
SDXL, SVD = "darkroom-tiny-sdxl", "darkroom-tiny-svd"
NODE_STOP_SECONDS = 15.0
"""What the node needs to stop, on top of the grace period of its runs."""
PASSED_THROUGH = (
    *("HF_HOME", "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"),
    *("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"),
)
"""The user's variables that runners inherit: access to the Hugging Face hub, its cache, GPU and thread settings."""


@dataclass(frozen=True)
class Layout:
    """Addresses, folders and settings of one cluster's components."""

    state: StateDir
    settings: ClusterSettings
    namespace: str
    node_name: str
    bin_dir: Path
    model_root: Path
    operator_environment: Mapping[str, str] = field(default_factory=dict)
    """Additional settings of the operator."""
    gateway_environment: Mapping[str, str] = field(default_factory=dict)
    """Additional settings of the gateway."""

    @property
    def storage(self) -> Storage:
        credentials = self.settings.credentials
        return Storage(self.settings.ports.s3, credentials.s3_access_key, credentials.s3_secret_key)

    @property
    def redis_url(self) -> str:
        return redis_url(self.settings.ports.redis, self.settings.credentials.redis_password)

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.ports.gateway}"

    @property
    def node_dir(self) -> Path:
        return self.state.root / "node"

    @property
    def runner_template(self) -> Path:
        """The pod template that the operator merges into runner pods; see `write_runner_template`."""
        return self.state.runner_template


def apiserver_program(layout: Layout, token_file: Path) -> Program:
    port = layout.settings.ports.apiserver
    data_dir = layout.state.folder("apiserver")
    options = ["--data-dir", str(data_dir), "--port", str(port), "--token-file", str(token_file)]
    return Program(
        name="apiserver",
        command=_python("darkroom_local.apiserver", *options),
        environment=_minimal_environment(),
        ready=HttpProbe(f"http://127.0.0.1:{port}/readyz"),
    )


def s3_program(layout: Layout) -> Program:
    port, credentials = layout.settings.ports.s3, layout.settings.credentials
    return Program(
        name="s3",
        command=_python("darkroom_local.s3", "--data-dir", str(layout.state.folder("s3")), "--port", str(port)),
        environment=_minimal_environment()
        | {"NANIO_ACCESS_KEY": credentials.s3_access_key, "NANIO_SECRET_KEY": credentials.s3_secret_key},
        ready=HttpProbe(f"http://127.0.0.1:{port}/.health"),
    )


def node_program(layout: Layout) -> Program:
    port = layout.settings.ports.node
    options = {
        "--kubeconfig": layout.state.kubeconfig,
        "--namespace": layout.namespace,
        "--name": layout.node_name,
        "--data-dir": layout.node_dir,
        "--bin-dir": layout.bin_dir,
        "--port": port,
    }
    return Program(
        name="node",
        command=_python("darkroom_local.node", *(str(word) for pair in options.items() for word in pair)),
        environment=_minimal_environment(),
        ready=HttpProbe(f"http://127.0.0.1:{port}/healthz"),
        stop_grace_seconds=NodeSettings.shutdown_grace_seconds + NODE_STOP_SECONDS,
    )


def write_runner_template(layout: Layout) -> None:
    """Only runner pods tolerate the taint of the local node."""
    document = {"spec": {"tolerations": [TOLERATION]}}
    layout.runner_template.write_text(yaml.safe_dump(document), encoding="utf-8")


def write_webhook_secrets(layout: Layout) -> None:
    """The file that the gateway signs webhooks with."""
    write_private(layout.state.webhook_secrets, layout.settings.credentials.webhook_secret + "\n")


def operator_program(layout: Layout) -> Program:
    port = layout.settings.ports.operator
    own = {
        "KUBECONFIG": str(layout.state.kubeconfig),
        "DARKROOM_NAMESPACE": layout.namespace,
        "DARKROOM_RUNNER_IMAGE": RUNNER_IMAGE,
        "DARKROOM_RUNNER_SECRET": RUNNER_SECRET,
        "DARKROOM_RUNNER_TEMPLATE": str(layout.runner_template),
        "DARKROOM_GPU_RESOURCE": GPU_RESOURCE,
        environment.S3_BUCKET: BUCKET,
        environment.DATASET_URIS: EXAMPLE_FOLDERS,
        environment.MODEL_ROOT: str(layout.model_root),
        environment.DEFAULT_BASE_MODEL: SDXL,
        "DARKROOM_DEFAULT_VIDEO_BASE_MODEL": SVD,
        "DARKROOM_HEALTH_HOST": "127.0.0.1",
        "DARKROOM_HEALTH_PORT": str(port),
        # No other process has this port, so a restarted operator may take over its own Lease at once.
        "DARKROOM_OPERATOR_IDENTITY": f"{socket.gethostname()}_{port}",
        environment.REDIS_URL: layout.redis_url,
    }
    return Program(
        name="operator",
        command=_python("darkroom_operator.main"),
        environment=_minimal_environment() | own | dict(layout.operator_environment),
        ready=HttpProbe(f"http://127.0.0.1:{port}/healthz"),
        alive=HttpProbe(f"http://127.0.0.1:{port}/healthz"),
    )


def gateway_program(layout: Layout) -> Program:
    own = {
        "KUBECONFIG": str(layout.state.kubeconfig),
        "DARKROOM_NAMESPACE": layout.namespace,
        "DARKROOM_GATEWAY_HOST": "127.0.0.1",
        "DARKROOM_GATEWAY_PORT": str(layout.settings.ports.gateway),
        # Receivers on this machine and in its network, over http: only its users reach this gateway.
        "DARKROOM_GATEWAY_WEBHOOK_ADDRESSES": WebhookAddresses.ANY.value,
        WEBHOOK_SECRETS: str(layout.state.webhook_secrets),
        environment.MODEL_ROOT: str(layout.model_root),
        environment.DATASET_URIS: EXAMPLE_FOLDERS,
        environment.DEFAULT_BASE_MODEL: SDXL,
        environment.REDIS_URL: layout.redis_url,
    }
    return Program(
        name="gateway",
        command=_python("darkroom_gateway.main"),
        environment=_minimal_environment() | layout.storage.environment() | own | dict(layout.gateway_environment),
        ready=HttpProbe(f"{layout.gateway_url}/readyz"),
        stop_grace_seconds=25.0,
    )


def runner_environment(layout: Layout, user: Mapping[str, str]) -> dict[str, str]:
    """The environment of every runner: the content of the Secret that its pod references."""
    own = {
        environment.REDIS_URL: layout.redis_url,
        environment.MODEL_ROOT: str(layout.model_root),
        environment.DATASET_URIS: EXAMPLE_FOLDERS,
    }
    cache = {"HF_HOME": str(Path.home() / ".cache" / "huggingface")}
    given = {name: user[name] for name in PASSED_THROUGH if user.get(name)}
    return layout.storage.environment() | own | cache | given | tracing_environment(user)


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _minimal_environment() -> dict[str, str]:
    own = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(Path.home())}
    return own | tracing_environment(os.environ)


def tracing_environment(user: Mapping[str, str]) -> dict[str, str]:
    """OpenTelemetry's variables, if they turn traces on. Without the service's name: each program has its own."""
    if not is_wanted(user):
        return {}
    return {name: value for name, value in user.items() if name.startswith("OTEL_") and name != "OTEL_SERVICE_NAME"}
