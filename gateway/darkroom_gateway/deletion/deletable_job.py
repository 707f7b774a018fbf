"""The fields of a job that its deletion depends on. Pure.

Read from the raw resource: a job that does not match this release's schema can still use photos, and be deleted.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from darkroom_contract.names import FINALIZER_FILES, LABEL_DELETE_FILES, Kind
from darkroom_contract.status import Phase
from darkroom_contract.storage.keys import dataset_prefix, dataset_uri, images_prefix, parse_uri
from darkroom_gateway.deletion.job_references import JobReferences, read_references
from darkroom_gateway.jobs.task_ids import DATASET_ID_PATTERN

FINISHED = frozenset(phase.value for phase in Phase if phase.is_terminal)


@dataclass(frozen=True, slots=True)
class DeletableJob:
    """A job of either kind, with what decides about its files."""

    kind: Kind
    name: str
    uid: str
    resource_version: str
    deleting: bool
    labelled: bool
    """Has the label `LABEL_DELETE_FILES`."""
    finalizers: tuple[str, ...]
    finished: bool
    ended: datetime | None
    """`status.completionTime`."""
    slot: int | None
    model_id: str | None
    """The model that it trains, or the short form of the LoRA that it uses."""
    references: JobReferences

    @property
    def key(self) -> str:
        """`Kind/name`, as in the annotation of a slot's Lease."""
        return f"{self.kind}/{self.name}"

    @property
    def has_finalizer(self) -> bool:
        """Has the finalizer that keeps it until its files are removed."""
        return FINALIZER_FILES in self.finalizers

    @property
    def deletes_files(self) -> bool:
        return self.deleting and (self.has_finalizer or self.labelled)


def read_deletable_job(kind: Kind, document: dict[str, Any]) -> DeletableJob:
    """From a document of the API server."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    return DeletableJob(
        kind=kind,
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        deleting="deletionTimestamp" in metadata,
        labelled=(metadata.get("labels") or {}).get(LABEL_DELETE_FILES) == "true",
        finalizers=tuple(metadata.get("finalizers") or ()),
        finished=status.get("phase") in FINISHED,
        ended=_instant(status.get("completionTime")),
        slot=status.get("slot"),
        model_id=spec.get("modelId"),
        references=read_references(spec),
    )


def run_has_ended(job: DeletableJob, slot_holders: Collection[str]) -> bool:
    """Whether no pod of a job that is being deleted can be running, now or later.

    The operator writes the slot into the status before a pod may run, and removes it only after the run has ended. It
    does not admit jobs that are being deleted, and a status update from before the deletion fails as outdated.
    """
    return job.slot is None and job.key not in slot_holders


def owned_datasets(job: DeletableJob, bucket: str, namespace: str) -> tuple[str, ...]:
    """The prefixes of the job's photos that are datasets of this deployment and namespace."""
    root = dataset_prefix(namespace)
    found = [parse_uri(uri) for uri in job.references.dataset_uris]
    return tuple(
        prefix
        for in_bucket, prefix in dict.fromkeys(found)
        if in_bucket == bucket
        and prefix.startswith(root)
        and not any(part in ("", ".", "..") for part in prefix.removeprefix(root).rstrip("/").split("/"))
    )


def owned_images(job: DeletableJob, bucket: str, namespace: str) -> tuple[str, ...]:
    """The prefixes of the pictures that were uploaded for the job. Other folders belong to people."""
    root = images_prefix(namespace)
    pattern = f"{re.escape(dataset_uri(bucket, root))}({DATASET_ID_PATTERN})/[^/]+"
    uploads = (re.fullmatch(pattern, uri) for uri in sorted(job.references.image_uris))
    return tuple(dict.fromkeys(f"{root}{found[1]}/" for found in uploads if found is not None))


def owned_folders(job: DeletableJob, bucket: str, namespace: str) -> tuple[str, ...]:
    """The prefixes of all files of the job besides those of its runs: photos and pictures."""
    return *owned_datasets(job, bucket, namespace), *owned_images(job, bucket, namespace)


class Use(StrEnum):
    """How other jobs use a job's photos or pictures."""

    NONE = "None"
    ENDING = "Ending"
    """Only by jobs that are being deleted, one of which may still be running."""
    SHARED = "Shared"


def other_users(
    job: DeletableJob, folder: tuple[str, str], jobs: Iterable[DeletableJob], slot_holders: Collection[str]
) -> Use:
    """How other jobs use a folder of `job`, given by bucket and prefix. A job that is being deleted needs it until its
    run has ended."""
    others = [other for other in jobs if other.uid != job.uid and other.references.reads_folder(*folder)]
    if any(not other.deleting for other in others):
        return Use.SHARED
    return Use.NONE if all(run_has_ended(other, slot_holders) for other in others) else Use.ENDING


def _instant(text: str | None) -> datetime | None:
    moment = None if text is None else datetime.fromisoformat(text)
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
