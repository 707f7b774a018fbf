"""Settings of a node, from its command line. Read by `__main__`, used by every module of the package."""

from dataclasses import dataclass
from pathlib import Path

GPU_RESOURCE = "darkroom.dev/gpu"
"""The extended resource that the node offers one of. The node does not count its use: running one job at a time is the
operator's task, and a node that enforced it too would hide the operator's mistakes."""

TAINT = {"key": "darkroom.dev/local-node", "effect": "NoSchedule"}
"""Keeps other pods away: they need containers, which this node does not have."""
TOLERATION = {"key": TAINT["key"], "operator": "Exists", "effect": TAINT["effect"]}
"""Of runner pods."""


@dataclass(frozen=True)
class NodeSettings:
    """One node."""

    name: str
    namespace: str
    """Only pods of this namespace are run."""
    data_dir: Path
    bin_dir: Path
    """The programs that a pod's command may name; a real node has images instead."""
    port: int
    """Of logs and health, on loopback."""
    shutdown_grace_seconds: float = 20.0
    """How long runs may take to save their state when the node stops."""
    heartbeat_seconds: float = 10.0
    """How often the Lease is renewed; the kubelet's default."""

    @property
    def journal_path(self) -> Path:
        return self.data_dir / "record.jsonl"
