"""A cluster that is deleted after its use. Used by the demo."""

import contextlib
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from darkroom_local.cluster.local_cluster import ClusterOptions, LocalCluster, StartProgress
from darkroom_local.kube.kubectl import run_kubectl


@dataclass(frozen=True)
class TemporaryClusterOptions:
    """See `ClusterOptions`."""

    kubeconfig: Path | None = None
    namespace: str | None = None
    """Default: a new namespace on an existing API server."""
    model_root: Path | None = None
    keep: bool = False
    """Keep the state directory, and the namespace."""


@contextlib.contextmanager
def temporary_cluster(options: TemporaryClusterOptions, progress: StartProgress) -> Iterator[LocalCluster]:
    """A running cluster with a temporary state directory. Raises `LocalError`."""
    existing = options.kubeconfig is not None
    new_namespace = existing and options.namespace is None
    namespace = f"darkroom-demo-{secrets.token_hex(3)}" if new_namespace else options.namespace
    with contextlib.ExitStack() as cleanup:
        state_dir = Path(tempfile.mkdtemp(prefix="darkroom-demo-"))
        if options.keep:
            continuation = f"darkroom up --state-dir {shlex.quote(str(state_dir))}"
            cleanup.callback(print, f"The state directory is kept. To continue: {continuation}")
        else:
            cleanup.callback(shutil.rmtree, state_dir)
        cluster = LocalCluster(
            ClusterOptions(state_dir, options.kubeconfig, namespace=namespace, model_root=options.model_root)
        )
        cluster.start(progress)
        if new_namespace and not options.keep:
            delete_namespace = ("delete", "namespace", cluster.namespace, "--wait=false")
            cleanup.callback(run_kubectl, cluster.kubeconfig, *delete_namespace)
        if existing:
            delete_node = ("delete", "node", cluster.layout.node_name, "--ignore-not-found")
            cleanup.callback(run_kubectl, cluster.kubeconfig, *delete_node)
        # Without anything to keep there is no state to save.
        cleanup.callback(cluster.stop if existing or options.keep else cluster.kill_all)
        yield cluster
