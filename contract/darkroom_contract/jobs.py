"""A job as it comes from the API server: either kind, read into one shape."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from darkroom_contract.names import (
    ANNOTATION_PHOTOS_SHA256,
    ANNOTATION_TRACEPARENT,
    ANNOTATION_UPLOAD,
    ANNOTATION_WEBHOOK,
    API_VERSION,
    Kind,
)
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.status import JobStatus
from darkroom_contract.tracing.traceparent import valid_traceparent

SPEC_MODELS: dict[Kind, type[TrainJobSpec] | type[GenerateJobSpec]] = {
    Kind.TRAIN: TrainJobSpec,
    Kind.GENERATE: GenerateJobSpec,
}


@dataclass(frozen=True, slots=True)
class Job:
    """One TrainJob or GenerateJob."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    order: int
    """Resource version at which the job was first seen: the order among jobs that were created in one second."""
    deleting: bool
    labels: dict[str, str]
    spec: TrainJobSpec | GenerateJobSpec
    status: JobStatus
    photos_sha256: str | None = None
    """Fingerprint of the uploaded photos: `ANNOTATION_PHOTOS_SHA256`. None for jobs from YAML or an older gateway."""
    finalizers: tuple[str, ...] = ()
    traceparent: str | None = None
    """`ANNOTATION_TRACEPARENT`, if it is valid."""
    upload_uri: str | None = None
    """The upload whose photos a training has: `ANNOTATION_UPLOAD`."""
    webhook_record: str | None = None
    """What its webhook has delivered: `ANNOTATION_WEBHOOK`. Read by webhooks.py."""

    @property
    def key(self) -> str:
        """`Kind/name`, as messages name it."""
        return f"{self.kind}/{self.name}"


def read_job(document: dict[str, Any]) -> Job:
    """Read a resource as the API server returns it.

    Raises `pydantic.ValidationError` when spec or status do not fit (a job from before a bound was narrowed) and
    `ValueError` when it is of no kind of ours.
    """
    metadata = document["metadata"]
    annotations = metadata.get("annotations") or {}
    kind = Kind(document["kind"])
    status = JobStatus.from_dict(document.get("status") or {})
    return Job(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata.get("generation", 1),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        order=int(metadata["resourceVersion"]) if status.admission_order is None else status.admission_order,
        deleting="deletionTimestamp" in metadata,
        labels=metadata.get("labels") or {},
        spec=SPEC_MODELS[kind].from_dict(document.get("spec") or {}),
        status=status,
        photos_sha256=annotations.get(ANNOTATION_PHOTOS_SHA256),
        finalizers=tuple(metadata.get("finalizers") or ()),
        traceparent=valid_traceparent(annotations.get(ANNOTATION_TRACEPARENT)),
        upload_uri=annotations.get(ANNOTATION_UPLOAD),
        webhook_record=annotations.get(ANNOTATION_WEBHOOK),
    )


def write_job(
    spec: TrainJobSpec | GenerateJobSpec,
    *,
    name: str,
    namespace: str,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The resource to create for a spec; what the spec leaves at its default is left to the API server."""
    kind = Kind.TRAIN if isinstance(spec, TrainJobSpec) else Kind.GENERATE
    return {
        "apiVersion": API_VERSION,
        "kind": kind.value,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels or {},
            "annotations": annotations or {},
        },
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True),
    }
