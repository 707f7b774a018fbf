"""The local cluster: every component of Darkroom on loopback, with one state directory. Used by the CLI and by tests.

With a kubeconfig, an existing API server replaces the embedded one.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from darkroom_contract import environment
from darkroom_local.cluster.bootstrap import bootstrap
from darkroom_local.cluster.components import (
    RUNNER_SECRET,
    Layout,
    apiserver_program,
    gateway_program,
    node_program,
    operator_program,
    runner_environment,
    s3_program,
    write_runner_template,
    write_webhook_secrets,
)
from darkroom_local.cluster.redis import redis_program
from darkroom_local.errors import LocalError, PortTakenError
from darkroom_local.kube.client import KubeClient
from darkroom_local.kube.kubeconfig import Connection, pinned_kubeconfig, read_kubeconfig, write_kubeconfig
from darkroom_local.processes.ports import ANY_PORT, bind_error, free_ports, is_free, require_free
from darkroom_local.processes.supervisor import Supervisor
from darkroom_local.s3.storage import Storage
from darkroom_local.state.private_files import write_private
from darkroom_local.state.state_dir import StateDir

NAMESPACE = "default"
NODE_NAME = "darkroom-local"
RUNNER = "darkroom-runner"

StartProgress = Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class ClusterOptions:
    """Options of a local cluster. Only the state directory is required."""

    state_dir: Path
    kubeconfig: Path | None = None
    """Of an existing API server, in place of the embedded one."""
    namespace: str | None = None
    """Of the jobs. Default: the kubeconfig's, or `default` on the embedded API server."""
    gateway_port: int | None = None
    """Exactly this port, or any free one for 0. Default: the port of the last start if it is free, else a free one."""
    preferred_gateway_port: int | None = None
    """For a new state directory, if the port is free."""
    model_root: Path | None = None
    """Folder of base models; see `find_model_root`."""
    bin_dir: Path | None = None
    """Programs that pods may run. Default: only the runner of this Python environment."""
    operator_environment: Mapping[str, str] = field(default_factory=dict)
    """Additional settings of the operator, such as DARKROOM_RETRY_BASE_SECONDS."""
    gateway_environment: Mapping[str, str] = field(default_factory=dict)
    """Additional settings of the gateway, such as DARKROOM_BUSY_POLICY."""


class LocalCluster:
    """One cluster, running between `start` and `stop`; also a context manager."""

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options
        self._open = contextlib.ExitStack()
        self.state = StateDir(options.state_dir)
        self.layout: Layout
        self.connection: Connection
        self.supervisor: Supervisor

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, progress: StartProgress = contextlib.nullcontext) -> None:
        """Start every component and wait until all are ready; `progress` is entered once the options are checked.

        Raises `LocalError`, with nothing left running.
        """
        with contextlib.ExitStack() as opening:
            opening.enter_context(self.state.locked())
            self.layout = self._create_layout()
            self._require_ports()
            with progress():
                self.supervisor = Supervisor(self.state.logs)
                opening.callback(self.supervisor.stop)
                self._start_components()
            self._open = opening.pop_all()

    def stop(self) -> None:
        """Stop every component in order, after running jobs saved their state. Does nothing when stopped already."""
        self._open.close()

    def kill_all(self) -> None:
        """SIGKILL every process at once, like a power failure. The state directory can be started again."""
        self.supervisor.kill()
        self.stop()

    @property
    def namespace(self) -> str:
        return self.layout.namespace

    @property
    def kubeconfig(self) -> Path:
        """For the embedded API server, or a copy of the given context; with the namespace of the jobs."""
        return self.state.kubeconfig

    @property
    def gateway_url(self) -> str:
        return self.layout.gateway_url

    @property
    def redis_url(self) -> str:
        return self.layout.redis_url

    @property
    def storage(self) -> Storage:
        return self.layout.storage

    @property
    def journal_path(self) -> Path:
        """The node's journal of runs, for `darkroom_local.node.journal.read_journal`."""
        return self.layout.node_dir / "record.jsonl"

    def pids(self) -> dict[str, int]:
        """The process id of each component: apiserver, redis, s3, node, operator, gateway."""
        return self.supervisor.pids()

    def _create_layout(self) -> Layout:
        settings = self.state.settings(gateway_port=self._gateway_port())
        given = self._options.kubeconfig
        namespace = self._options.namespace or (read_kubeconfig(given).namespace if given else NAMESPACE)
        server = f"http://127.0.0.1:{settings.ports.apiserver}"
        embedded = write_kubeconfig(server, settings.credentials.api_token, namespace)
        write_private(self.state.kubeconfig, pinned_kubeconfig(given, namespace) if given else embedded)
        return Layout(
            state=self.state,
            settings=settings,
            namespace=namespace,
            # An existing API server may have the nodes of several local clusters.
            node_name=f"{NODE_NAME}-{settings.ports.node}" if given else NODE_NAME,
            bin_dir=self._options.bin_dir or _bin_dir(self.state),
            model_root=find_model_root(self._options.model_root),
            operator_environment=self._options.operator_environment,
            gateway_environment=self._options.gateway_environment,
        )

    def _gateway_port(self) -> int | None:
        """Unlike the other ports this one may change: only the printed address depends on it."""
        chosen = self._options.gateway_port
        if chosen == ANY_PORT:
            return free_ports(1)[0]
        if chosen is not None:
            if (reason := bind_error(chosen)) is not None:
                raise PortTakenError(f"port {chosen} {reason}: choose another --port, or 0 for any free one")
            return chosen
        wanted = self.state.last_gateway_port() or self._options.preferred_gateway_port
        return wanted if wanted is None or is_free(wanted) else free_ports(1)[0]

    def _require_ports(self) -> None:
        for name, port in vars(self.layout.settings.ports).items():
            if name != "apiserver" or self._options.kubeconfig is None:
                require_free(name, port)

    def _start_components(self) -> None:
        layout, ports, credentials = self.layout, self.layout.settings.ports, self.layout.settings.credentials
        servers = [
            redis_program(self.state.folder("redis"), ports.redis, credentials.redis_password),
            s3_program(layout),
        ]
        if self._options.kubeconfig is None:
            token_file = self.state.folder("apiserver") / "token"
            write_private(token_file, credentials.api_token)
            servers.insert(0, apiserver_program(layout, token_file))
        self.supervisor.start(*servers)
        self.connection = read_kubeconfig(layout.state.kubeconfig)
        self.supervisor.call(self._bootstrap())
        layout.storage.create_bucket()
        write_runner_template(layout)
        write_webhook_secrets(layout)
        self.supervisor.start(node_program(layout), operator_program(layout), gateway_program(layout))

    async def _bootstrap(self) -> None:
        async with KubeClient(self.connection) as client:
            runner = runner_environment(self.layout, os.environ)
            await bootstrap(client, self.namespace, RUNNER_SECRET, runner, self.layout.node_name)


def find_model_root(given: Path | None) -> Path:
    """The folder of base models: the given one, DARKROOM_MODEL_ROOT, the source checkout's, or ./models.

    Raises `LocalError` when it does not exist.
    """
    named = given or (Path(os.environ[environment.MODEL_ROOT]) if os.environ.get(environment.MODEL_ROOT) else None)
    source_checkout = Path(__file__).resolve().parents[3] / "models"
    candidates = [named] if named else [source_checkout, Path("models")]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate.absolute()
    tried = " or ".join(str(each) for each in candidates)
    raise LocalError(f"no folder of base models at {tried}: pass one with --models")


def _bin_dir(state: StateDir) -> Path:
    """A folder with a link to the runner of this Python environment, the only program that pods may run."""
    folder = state.folder("bin")
    runner = Path(sys.executable).with_name(RUNNER)
    if not runner.exists():
        raise LocalError(f"{runner} does not exist: install darkroom[local], which includes the runner")
    link = folder / RUNNER
    link.unlink(missing_ok=True)
    link.symlink_to(runner)
    return folder
