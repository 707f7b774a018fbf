"""`darkroom up`: runs the whole system in the foreground until Ctrl-C. Called by the CLI."""

import contextlib
import os
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from darkroom_contract import environment
from darkroom_gateway.settings import ALLOWED_HOSTS, CORS_ORIGINS, BusyPolicy
from darkroom_local.cluster.local_cluster import ClusterOptions, LocalCluster
from darkroom_local.example_photos import example_photos
from darkroom_local.kube.kubectl import kubectl_path

GATEWAY_PORT = 8000


@dataclass(frozen=True)
class UpOptions:
    """Options of `darkroom up`."""

    state_dir: Path
    kubeconfig: Path | None = None
    namespace: str | None = None
    port: int | None = None
    models: Path | None = None
    busy_policy: BusyPolicy = BusyPolicy.QUEUE
    warm_seconds: float | None = None
    """How long a runner waits for the next job. None: the operator's default."""


def run_up(options: UpOptions, console: Console) -> None:
    """Start the cluster, print how to use it, and run until `KeyboardInterrupt`. Raises `LocalError`."""
    cluster = LocalCluster(
        ClusterOptions(
            state_dir=options.state_dir,
            kubeconfig=options.kubeconfig,
            namespace=options.namespace,
            gateway_port=options.port,
            preferred_gateway_port=GATEWAY_PORT,
            model_root=options.models,
            operator_environment=operator_environment(options),
            gateway_environment=gateway_environment(options, os.environ),
        )
    )
    # Some components create their files with the default mode; weights, pictures and photos are private.
    os.umask(0o077)
    try:
        cluster.start(lambda: starting(console))
        console.print(welcome(cluster), highlight=False, soft_wrap=True, markup=False)
        threading.Event().wait()
    except KeyboardInterrupt:
        _print_if_possible(console, "Stopping. A running job saves its state first ...")
    finally:
        cluster.stop()
    _print_if_possible(console, f"Stopped. The state is kept in {cluster.state.root}.")


def _print_if_possible(console: Console, text: str) -> None:
    """The terminal may have been closed."""
    with contextlib.suppress(OSError):
        console.print(text, soft_wrap=True, highlight=False, markup=False)


def operator_environment(options: UpOptions) -> dict[str, str]:
    """Additional settings of the operator."""
    return {} if options.warm_seconds is None else {environment.WARM_SECONDS: str(options.warm_seconds)}


def gateway_environment(options: UpOptions, environ: Mapping[str, str]) -> dict[str, str]:
    """Additional settings of the gateway. Some come from the environment: host names, for a gateway behind a tunnel or
    proxy on this machine, and the origins of other pages."""
    given = {name: environ[name] for name in (ALLOWED_HOSTS, CORS_ORIGINS) if environ.get(name)}
    return {"DARKROOM_BUSY_POLICY": options.busy_policy.value} | given


@contextlib.contextmanager
def starting(console: Console) -> Iterator[None]:
    """Show that the cluster starts, with a spinner in a terminal."""
    text = "Starting the cluster: API server, Redis, S3, node, operator, gateway ..."
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        console.print(text, soft_wrap=True)
        yield


def welcome(cluster: LocalCluster) -> str:
    """The addresses of the running cluster, and commands to try."""
    url, kubectl = cluster.gateway_url, shell_kubectl()
    darkroom = shlex.quote(_short(Path(sys.executable).with_name("darkroom")))
    folder = shlex.quote(_short(example_photos()[0].parent)) if example_photos() else ""
    photos = " ".join(f"-F {shlex.quote(f'files=@{_short(path)}')}" for path in example_photos()[:3])
    return f"""Darkroom is running.

  Gateway   {url}  (open it in a browser)
  API       {url}/docs
  kubectl   export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}
            {kubectl} get darkroom
  Webhooks  signed with the secret in {cluster.state.webhook_secrets}
  Logs      {cluster.state.logs}
  State     {cluster.state.root}

Try, in another terminal:

  export GATEWAY={url} DARKROOM_GATEWAY_URL={url}
  {darkroom} train {folder or "photos"} --model my-star --prompt "a photo of sks star" --steps 60 --follow
  {darkroom} generate "a photo of sks star, olive background" --model my-star --guidance 2 -o out/

The same with curl:

  curl {photos or "-F files=@1.jpg -F files=@2.jpg"} \\
    "$GATEWAY/train?prompt=a+photo+of+sks+star&model_id=my-star&max_steps=60"
  curl -X POST "$GATEWAY/generate/sdxl?prompt=a+red+circle+on+a+navy+background&allow_motion=true&guidance_scale=2"
  curl "$GATEWAY/jobs"

Ctrl-C stops everything; the state is kept.
"""


def shell_kubectl() -> str:
    """The kubectl of this installation, as typed in the user's shell: one that is on PATH may be of another release."""
    return shlex.quote(_short(Path(kubectl_path())))


def _short(path: Path) -> str:
    return min(str(path), os.path.relpath(path), key=len)
