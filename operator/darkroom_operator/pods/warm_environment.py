"""What a runner's pod needs to take over further runs: variables, and a volume with its next run document. Pure.

Used by `builder.py`. The contract is `darkroom_contract/handover.py`.
"""

from darkroom_contract import environment
from darkroom_contract.handover import (
    ACKNOWLEDGED_FILE,
    ANNOTATION_ACKNOWLEDGED,
    ANNOTATION_RUN,
    HANDOVER_DIR,
    HANDOVER_VOLUME,
    RUN_FILE,
)
from darkroom_operator.kube.objects import Json
from darkroom_operator.settings import Settings


def handover_variables(settings: Settings, outcome_key: str) -> list[Json]:
    return [
        {"name": environment.WARM_SECONDS, "value": str(settings.warm_seconds)},
        {"name": environment.MAX_RUNS, "value": str(settings.max_runs)},
        {"name": environment.OUTCOME_KEY, "value": outcome_key},
        {"name": environment.HANDOVER_DIR, "value": HANDOVER_DIR},
    ]


def handover_mount() -> Json:
    return {"name": HANDOVER_VOLUME, "mountPath": HANDOVER_DIR, "readOnly": True}


def handover_volume() -> Json:
    """A downward API volume: the kubelet updates its files within 0.15 s of a change (Kubernetes 1.36.2)."""
    files = {RUN_FILE: ANNOTATION_RUN, ACKNOWLEDGED_FILE: ANNOTATION_ACKNOWLEDGED}
    items = [{"path": name, "fieldRef": {"fieldPath": _field(annotation)}} for name, annotation in files.items()]
    return {"name": HANDOVER_VOLUME, "downwardAPI": {"items": items}}


def _field(annotation: str) -> str:
    return f"metadata.annotations['{annotation}']"
