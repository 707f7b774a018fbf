"""Runs the demo on a cluster of its own, which is gone afterwards. Called by the CLI."""

import asyncio
import contextlib
import secrets
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from darkroom_contract.names import Kind
from darkroom_local.cluster.local_cluster import ClusterOptions, LocalCluster
from darkroom_local.demo.display import display_for
from darkroom_local.demo.gateway import Gateway
from darkroom_local.demo.journey import download, submit, watch
from darkroom_local.demo.view import clock
from darkroom_local.errors import DemoFailedError, LocalError
from darkroom_local.kube.kubectl import run_kubectl
from darkroom_local.up import starting

KINDS = ",".join(kind.crd_name for kind in Kind)


@dataclass(frozen=True)
class DemoOptions:
    """What `darkroom demo` was told."""

    output: Path
    keep: bool = False
    kubeconfig: Path | None = None
    namespace: str | None = None
    models: Path | None = None
    max_steps: int | None = None
    """Of the training; as in `script.py` when unset."""


def run_demo(options: DemoOptions, console: Console) -> None:
    """The whole demo. Raises `LocalError` when anything in it fails; nothing is left running either way."""
    began = time.monotonic()
    _require_folder(options.output)
    with _state_dir(options.keep, console) as state_dir, _cluster(options, state_dir, console) as cluster:
        paths = perform(cluster, options.output, console, options.max_steps)
    console.print(f"\nDone in {clock(time.monotonic() - began)}. Look at:", highlight=False)
    for path in paths:
        console.print(f"  {path.absolute()}", soft_wrap=True, highlight=False, markup=False)


def _require_folder(output: Path) -> None:
    """Raises `LocalError` before anything is started for pictures that could not be saved."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"{output} can't be the folder of picture and video: {error.strerror}") from error


def perform(cluster: LocalCluster, output: Path, console: Console, max_steps: int | None = None) -> list[Path]:
    """The demo itself on a cluster that runs; the files that it has fetched. Raises `DemoFailedError`."""
    _say(
        console,
        f"The gateway is at {cluster.gateway_url}. Five photos of a star go in, a picture and a video come out.",
    )
    output.mkdir(parents=True, exist_ok=True)
    try:
        paths = asyncio.run(_journey(cluster.gateway_url, output, console, max_steps))
    except httpx.TransportError as error:
        raise DemoFailedError(f"the gateway does not answer any more ({error!r}). {_hint(cluster)}") from error
    except DemoFailedError as error:
        _show_resources(cluster, console)
        raise DemoFailedError(f"{error} {_hint(cluster)}") from error
    _show_resources(cluster, console)
    return paths


def _show_resources(cluster: LocalCluster, console: Console) -> None:
    _say(console, f"\n$ kubectl get {KINDS}\n{run_kubectl(cluster.kubeconfig, 'get', KINDS)}")


def _hint(cluster: LocalCluster) -> str:
    return f"With --keep the logs stay in {cluster.state.logs}."


async def _journey(url: str, output: Path, console: Console, max_steps: int | None) -> list[Path]:
    async with Gateway(url) as gateway:
        jobs = await submit(gateway, max_steps)
        for job in jobs:
            _say(console, f"{job.title}: {job.answer['kind']} {job.task_id}")
        with display_for(console) as display:
            await watch(gateway, jobs, display)
        return await download(gateway, jobs[-1], output)


@contextlib.contextmanager
def _cluster(options: DemoOptions, state_dir: Path, console: Console) -> Iterator[LocalCluster]:
    """A cluster that runs; on an API server of somebody's, in a namespace of its own that goes with it."""
    own_namespace = options.kubeconfig is not None and options.namespace is None
    namespace = f"darkroom-demo-{secrets.token_hex(3)}" if own_namespace else options.namespace
    cluster = LocalCluster(
        ClusterOptions(
            state_dir=state_dir, kubeconfig=options.kubeconfig, namespace=namespace, model_root=options.models
        )
    )
    with starting(console):
        cluster.start()
    try:
        yield cluster
    finally:
        if options.kubeconfig is None and not options.keep:
            cluster.kill_all()  # Nothing of it is kept, so there is nothing to save.
        cluster.stop()
        if options.kubeconfig is not None:
            run_kubectl(cluster.kubeconfig, "delete", "node", cluster.layout.node_name)
        if own_namespace and not options.keep:
            run_kubectl(cluster.kubeconfig, "delete", "namespace", cluster.namespace, "--wait=false")


@contextlib.contextmanager
def _state_dir(keep: bool, console: Console) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="darkroom-demo-"))
    try:
        yield folder
    finally:
        if keep:
            _say(console, f"The state is kept: go on with `darkroom up --state-dir {shlex.quote(str(folder))}`")
        else:
            shutil.rmtree(folder)


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)
