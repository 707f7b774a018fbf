"""What a node is told on its command line. Read by `__main__`, used by all its parts."""

from dataclasses import dataclass
from pathlib import Path

GPU_RESOURCE = "darkroom.dev/gpu"
"""The extended resource that the node has one of. It is not counted: that one job runs at a time is the operator's to
keep, and would not be seen to be kept if the node kept it too."""


TAINT = {"key": "darkroom.dev/local-node", "effect": "NoSchedule"}
"""On the node: it runs processes, and other people's pods would hang there."""
TOLERATION = {"key": TAINT["key"], "operator": "Exists", "effect": TAINT["effect"]}
"""On the pods that it is for."""


@dataclass(frozen=True)
class NodeSettings:
    """One node."""

    name: str
    namespace: str
    """Only pods of this namespace are run."""
    data_dir: Path
    bin_dir: Path
    """Where the programs are that a pod's command may name: what images are to a real node."""
    port: int
    """Logs and health, on loopback."""
    shutdown_grace_seconds: float = 20.0
    """How long runs may take to save their state and leave when the node is told to stop."""
    heartbeat_seconds: float = 10.0
    """How often the Lease is renewed, as a kubelet does."""

    @property
    def journal_path(self) -> Path:
        return self.data_dir / "record.jsonl"
