"""Runs the demo: trains on five photos, then draws a picture and animates it, on a temporary cluster."""

import time
from pathlib import Path

import httpx
from rich.console import Console

from darkroom_contract.names import Kind
from darkroom_local.cluster.local_cluster import LocalCluster
from darkroom_local.cluster.temporary import TemporaryClusterOptions, temporary_cluster
from darkroom_local.demo import script
from darkroom_local.demo.gateway_client import GatewayClient, Json
from darkroom_local.demo.progress import show
from darkroom_local.errors import DemoFailedError, LocalError
from darkroom_local.example_photos import FOLDER, example_photos
from darkroom_local.kube.kubectl import run_kubectl
from darkroom_local.up import starting

KINDS = ",".join(kind.crd_name for kind in Kind)
STORY = "Five photos of a star go in, a picture and a video come out. It takes 3 to 6 minutes on two CPU cores."


def run_demo(options: TemporaryClusterOptions, output: Path, max_steps: int | None, console: Console) -> None:
    """Raises `LocalError`. Nothing is left running."""
    began = time.monotonic()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"{output} can't be used as the output folder: {error.strerror}") from error
    if not example_photos():
        raise LocalError(f"there are no photos in {FOLDER}: run the demo from a checkout of the repository")
    with temporary_cluster(options, lambda: starting(console)) as cluster:
        paths = perform(cluster, output, console, max_steps)
    _print(console, f"Done in {time.monotonic() - began:.0f} s:", *(f"  {path.absolute()}" for path in paths))


def perform(cluster: LocalCluster, output: Path, console: Console, max_steps: int | None = None) -> list[Path]:
    """Run both jobs on a running cluster, and return the downloaded files. Raises `DemoFailedError`."""
    _print(console, f"Gateway: {cluster.gateway_url}", STORY)
    output.mkdir(parents=True, exist_ok=True)
    training = script.TRAIN | ({"max_steps": max_steps} if max_steps is not None else {})
    try:
        with GatewayClient(cluster.gateway_url) as gateway:
            paths = _run_jobs(gateway, training, output, console)
    except (DemoFailedError, httpx.HTTPError) as error:
        _show_resources(cluster, console)
        raise DemoFailedError(f"{error} (with --keep, the logs stay in {cluster.state.logs})") from error
    _show_resources(cluster, console)
    return paths


def _run_jobs(gateway: GatewayClient, training: Json, output: Path, console: Console) -> list[Path]:
    photos = [("files", (path.name, path.read_bytes(), "image/png")) for path in example_photos()]
    # Both jobs are queued at once: the second one uses the model of the first.
    jobs = {
        "Learn the subject": gateway.call("POST", "/train", params=training, files=photos),
        "Draw and animate it": gateway.call("POST", "/generate/lora", params=script.GENERATE),
    }
    for title, job in jobs.items():
        _print(console, f"{title}: {job['kind']} {job['task_id']}")
    for title, job in jobs.items():
        state = show(title, gateway.follow(job), console)
        if failure := state.get("failure"):
            raise DemoFailedError(f"{job['kind']} {job['task_id']} failed: {failure['reason']}: {failure['message']}")
    result = gateway.call("GET", job["status_url"])
    files = [*result["images"], result["video"]]
    return [gateway.download(file["url"], output / Path(file["name"]).name) for file in files]


def _show_resources(cluster: LocalCluster, console: Console) -> None:
    _print(console, f"$ kubectl get {KINDS}", run_kubectl(cluster.kubeconfig, "get", KINDS))


def _print(console: Console, *lines: str) -> None:
    console.print(*lines, sep="\n", soft_wrap=True, highlight=False, markup=False)
