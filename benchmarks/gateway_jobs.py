"""Jobs of the gateway's benchmarks, as the operator has written them. Used by gateway_stack.py."""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from darkroom_contract.names import API_VERSION, GROUP, LABEL_SUBMITTED_BY, Kind
from darkroom_local.apiserver.storage.store import Store

Json = dict[str, Any]

NAMESPACE = "default"
FIRST_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
CONDITIONS = (
    ("Admitted", "False", "RunEnded", "The run has ended, and the slot is free again."),
    ("PodReady", "False", "RunEnded", "The pod is over."),
    ("Suspended", "False", "NotSuspended", "The job takes its turn."),
    ("Complete", "True", "Succeeded", "All files are in object storage."),
)


def seed(folder: Path, jobs: int, running: str) -> None:
    """Write jobs into the database of a stopped API server: over HTTP, ten thousand would take minutes."""
    store = Store(folder / "objects.sqlite")
    try:
        for number in range(jobs - 1):
            kind = (Kind.TRAIN, Kind.GENERATE)[number % 2]
            store.create(f"{GROUP}/{kind.plural}", job(kind, f"{kind.singular}-{number:06d}", number, ended=True))
        store.create(f"{GROUP}/{Kind.TRAIN.plural}", job(Kind.TRAIN, running, jobs, ended=False))
    finally:
        store.close()


def job(kind: Kind, name: str, number: int, *, ended: bool) -> Json:
    """A job as written by the operator, about 4 kB including managedFields."""
    uid = str(uuid.UUID(int=number + 1, version=4))
    created = (FIRST_CREATED + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
    labels = {LABEL_SUBMITTED_BY: f"key-{number % 5}"}
    metadata: Json = {"name": name, "namespace": NAMESPACE, "uid": uid, "creationTimestamp": created, "generation": 1}
    spec: Json = {"prompt": f"a photo of sks dog number {number} on a beach at sunset, wide angle, golden hour"}
    if kind is Kind.TRAIN:
        spec |= {"modelId": f"dog-{number}", "dataset": {"uri": f"s3://darkroom/datasets/default/{uid}/"}}
    conditions = [
        {"type": each, "status": status, "reason": reason, "message": message, "lastTransitionTime": created}
        for each, status, reason, message in CONDITIONS[: 4 if ended else 2]
    ]
    status: Json = {"attempts": 1, "admissionOrder": number + 1, "startTime": created, "observedGeneration": 1}
    status |= {"podName": f"{name}-{uid[:8]}-1", "conditions": conditions}
    progress = {"stage": "Training", "step": 120, "total": 500, "progressPercentage": 31.0, "lastUpdatedTime": created}
    progress |= {"estimatedRemainingSeconds": 84.0, "metrics": {"loss": 0.081, "learningRate": 0.0001}}
    if ended:
        artifacts = [
            {"key": f"runs/{uid}/{file}", "contentType": "application/octet-stream", "bytes": 23390424 + number}
            | {"sha256": hashlib.sha256(f"{number}{file}".encode()).hexdigest()}
            for file in ("pytorch_lora_weights.safetensors", f"dog-{number}.safetensors", "manifest.json")
        ]
        status |= {"phase": "Succeeded", "completionTime": created, "artifacts": artifacts}
    else:
        status |= {"phase": "Running", "slot": 0, "runStartTime": created}
    fields = [{"manager": "darkroom-operator", "operation": "Apply", "fieldsV1": {f"f:{key}": {} for key in status}}]
    document: Json = {"apiVersion": API_VERSION, "kind": kind.value}
    document |= {"metadata": metadata | {"labels": labels, "managedFields": fields}}
    return document | {"spec": spec, "status": status | {"progress": progress}}
