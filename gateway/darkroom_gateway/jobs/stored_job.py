"""A job as the store keeps it: compressed, with what lists sort and filter by beside it. Pure; used by jobs/store.py.

A job in memory as pydantic's models takes ten times its JSON. A gateway keeps every job of its namespace and reads few
of them, so a job is compressed JSON here, and parsed when somebody asks for it.
"""

import json
import zlib
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any

from pydantic import ValidationError

from darkroom_contract.jobs import read_job
from darkroom_contract.names import FINALIZER_FILES, LABEL_DELETE_FILES, LABEL_SUBMITTED_BY, Kind
from darkroom_contract.specs import TrainJobSpec
from darkroom_contract.status import Phase
from darkroom_gateway.jobs.serializers import phase_of

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Position = tuple[int, int, int, str]
"""Where a job stands among all, the oldest first: the second it was created in; then as the operator's queue has it, a
training before a generation and the order in which the API server stored them; then its uid."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """One version of a job."""

    kind: Kind
    name: str
    uid: str
    version: int
    """Its resource version: versions of one kind grow (KEP 5504)."""
    created: int
    """Unix time."""
    order: int
    phase: Phase
    submitted_by: str | None
    trains: str | None
    """The model that a training makes."""
    marked: bool
    """Whether it is to go with its files: it has the label or the finalizer for that."""
    readable: bool
    """False for a job that this release's schema refuses: it is left out of lists."""
    body: bytes

    @property
    def position(self) -> Position:
        return self.created, int(self.kind is not Kind.TRAIN), self.order, self.uid

    def document(self) -> dict[str, Any]:
        """The resource, without what only the API server needs."""
        document: dict[str, Any] = json.loads(zlib.decompress(self.body))
        return document


def stored_job(kind: Kind, document: dict[str, Any], before: StoredJob | None) -> StoredJob:
    """`before`: the version that is stored now, if any. Items of a list have no kind of their own."""
    document = _without_bookkeeping(kind, document)
    metadata = document["metadata"]
    version = int(metadata["resourceVersion"])
    order, phase, trains = version, Phase.QUEUED, None
    try:
        job = read_job(document)
    except ValidationError:
        readable = False
    else:
        readable, phase = True, phase_of(job)
        trains = job.spec.model_id if isinstance(job.spec, TrainJobSpec) else None
        order = _order(job.status.admission_order, version, before if before and before.uid == job.uid else None)
    labels = metadata.get("labels") or {}
    submitted_by = labels.get(LABEL_SUBMITTED_BY)
    return StoredJob(
        kind=kind,
        name=metadata["name"],
        uid=metadata["uid"],
        version=version,
        created=int(datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()),
        order=order,
        phase=phase,
        submitted_by=None if submitted_by is None else intern(submitted_by),
        trains=None if trains is None else intern(trains),
        marked=labels.get(LABEL_DELETE_FILES) == "true" or FINALIZER_FILES in (metadata.get("finalizers") or ()),
        readable=readable,
        body=zlib.compress(json.dumps(document, separators=(",", ":")).encode()),
    )


def _order(admission_order: int | None, version: int, before: StoredJob | None) -> int:
    """A job must not move in lists between its creation and the moment when the operator writes its order down."""
    if admission_order is not None:
        return admission_order
    return version if before is None else before.order


def _without_bookkeeping(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
    return {**document, "kind": kind.value, "metadata": metadata}
