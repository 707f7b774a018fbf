"""`python -m darkroom_local.node --kubeconfig PATH --data-dir DIR --bin-dir BIN ...`: runs a node until a signal.

SIGTERM and SIGINT let runs save their state first. A second node with the same data directory is rejected.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

import uvicorn

from darkroom_contract.log_lines import set_up_log
from darkroom_local.command_parser import CommandParser, file, path
from darkroom_local.errors import LocalError
from darkroom_local.kube.client import KubeClient
from darkroom_local.kube.kubeconfig import Connection, read_kubeconfig
from darkroom_local.node.log_server import log_app
from darkroom_local.node.node import Node
from darkroom_local.node.settings import NodeSettings
from darkroom_local.processes.ports import port_number
from darkroom_local.state.state_dir import StateDir

SHUTDOWN_SECONDS = 2
"""How long clients that follow a log may take to read its end."""


def main(arguments: Sequence[str] | None = None) -> None:
    set_up_log("%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    options = _parser().parse_args(arguments)
    try:
        connection = read_kubeconfig(options.kubeconfig)
        settings = _settings(options, connection)
        with StateDir(settings.data_dir).locked():
            asyncio.run(_serve(connection, settings))
    except (LocalError, OSError) as error:
        sys.exit(f"darkroom node: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="darkroom node", description="Run the pods of one namespace as processes.")
    parser.add_argument("--kubeconfig", type=file, required=True, help="kubeconfig of the API server")
    parser.add_argument("--namespace", help="namespace whose pods are run (default: the context's)")
    parser.add_argument(
        "--name",
        default=f"darkroom-{socket.gethostname()}".lower(),
        help="name of the Node (default: darkroom-HOSTNAME)",
    )
    parser.add_argument("--data-dir", type=path, required=True, help="journal of runs, logs and scratch space")
    parser.add_argument("--bin-dir", type=path, required=True, help="folder of the programs that pods may run")
    parser.add_argument("--port", type=port_number(), required=True, help="loopback port of logs and health checks")
    parser.add_argument("--shutdown-grace-seconds", type=float, default=NodeSettings.shutdown_grace_seconds)
    parser.add_argument("--heartbeat-seconds", type=float, default=NodeSettings.heartbeat_seconds)
    return parser


def _settings(options: argparse.Namespace, connection: Connection) -> NodeSettings:
    return NodeSettings(
        name=options.name,
        namespace=options.namespace or connection.namespace,
        data_dir=options.data_dir.absolute(),
        bin_dir=options.bin_dir.absolute(),
        port=options.port,
        shutdown_grace_seconds=options.shutdown_grace_seconds,
        heartbeat_seconds=options.heartbeat_seconds,
    )


async def _serve(connection: Connection, settings: NodeSettings) -> None:
    """Run the node and its HTTP server until a signal, or until one fails."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with KubeClient(connection) as client:
        node = Node(client, settings)
        server = _Server(_server_config(node))
        work, service = asyncio.create_task(node.run()), asyncio.create_task(server.serve())
        signalled = asyncio.create_task(stopped.wait())
        await asyncio.wait([work, service, signalled], return_when=asyncio.FIRST_COMPLETED)
        await node.stop()
        server.should_exit = True
        for task in (work, signalled):
            task.cancel()
        results = await asyncio.gather(work, service, return_exceptions=True)
        node.close()
        _raise_first(results)


def _server_config(node: Node) -> uvicorn.Config:
    return uvicorn.Config(
        log_app(node),
        host="127.0.0.1",
        port=node.settings.port,
        access_log=False,
        http="httptools",
        ws="none",
        log_config=None,
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


class _Server(uvicorn.Server):
    """Does not handle signals: pods are stopped before the log server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _raise_first(results: Sequence[object]) -> None:
    for result in results:
        if isinstance(result, Exception):
            raise result


if __name__ == "__main__":
    main()
