"""A job in the store: compressed JSON, with the fields that lists sort and filter by. Pure; used by jobs/store.py.

As pydantic models, a job takes ten times the memory of its JSON. The gateway stores every job of its namespace and
reads few of them, so jobs are compressed here, and parsed when they are read.
"""

import json
import zlib
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any

from pydantic import ValidationError

from darkroom_contract.jobs import Job, read_job
from darkroom_contract.names import (
    FINALIZER_FILES,
    LABEL_DELETE_FILES,
    LABEL_SUBMITTED_BY,
    Kind,
    model_of_reference,
)
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.status import Phase
from darkroom_contract.webhooks import may_report
from darkroom_gateway.jobs.serializers import phase_of

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Position = tuple[int, int, int, str]
"""Sort key, oldest first: the second of creation; then, as in the operator's queue, trainings before generations and
the order in which the API server stored them; then the uid."""

KINDS = (Kind.TRAIN, Kind.GENERATE)
"""In the order of `Position`."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """One version of a job."""

    kind: Kind
    name: str
    uid: str
    version: int
    """Its resource version. Versions of one kind increase (KEP 5504)."""
    created: int
    """Unix time."""
    order: int
    phase: Phase
    submitted_by: str | None
    trains: str | None
    """The model id of a training."""
    models: tuple[str, ...]
    """Ids of the models that it trains, uses or continues from, without saved steps."""
    marked: bool
    """Whether it will be deleted with its files: it has the label or the finalizer."""
    reports: bool
    """Whether its webhook has an outstanding event, or may get one later."""
    readable: bool
    """False for a job that does not match the schema of this release. Lists skip it."""
    body: bytes

    @property
    def position(self) -> Position:
        return self.created, KINDS.index(self.kind), self.order, self.uid

    @property
    def prompt(self) -> str:
        """Of a readable job."""
        prompt: str = self.document()["spec"]["prompt"]
        return prompt

    @property
    def deleting(self) -> bool:
        """Whether its deletion has started."""
        return "deletionTimestamp" in self.document()["metadata"]

    def document(self) -> dict[str, Any]:
        """The document, without managedFields and the last-applied annotation."""
        document: dict[str, Any] = json.loads(zlib.decompress(self.body))
        return document


def stored_job(kind: Kind, document: dict[str, Any], before: StoredJob | None) -> StoredJob:
    """`before` is the currently stored version, if any. `kind` is a parameter because list items have none."""
    document = _without_bookkeeping(kind, document)
    metadata = document["metadata"]
    version = int(metadata["resourceVersion"])
    order, phase, trains, models, reports = version, Phase.QUEUED, None, frozenset[str](), False
    try:
        job = read_job(document)
    except ValidationError:
        readable = False
    else:
        readable, phase, reports = True, phase_of(job), may_report(job)
        trains = job.spec.model_id if isinstance(job.spec, TrainJobSpec) else None
        models = models_of(job)
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
        models=tuple(map(intern, models)),
        marked=labels.get(LABEL_DELETE_FILES) == "true" or FINALIZER_FILES in (metadata.get("finalizers") or ()),
        reports=reports,
        readable=readable,
        body=zlib.compress(json.dumps(document, separators=(",", ":")).encode()),
    )


def models_of(job: Job) -> frozenset[str]:
    """Ids of the models that a job trains, uses or continues from, without saved steps."""
    trains = (job.spec.model_id,) if isinstance(job.spec, TrainJobSpec) else ()
    return frozenset(map(model_of_reference, (*trains, *job.spec.model_references)))


def _order(admission_order: int | None, version: int, before: StoredJob | None) -> int:
    """Stable from a job's creation, so that it does not move in lists when the operator sets its admission order."""
    if admission_order is not None:
        return admission_order
    return version if before is None else before.order


def _without_bookkeeping(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
    return {**document, "kind": kind.value, "metadata": metadata}
