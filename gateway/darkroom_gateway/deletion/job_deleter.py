"""Deletes jobs together with their files. Synchronous; called from worker threads by sweeper.py.

1. Add a label and a finalizer to the job, so that it exists until its files are removed.
2. Delete the job. The API server sets its deletion timestamp, and the operator stops its run.
3. Once no run can be alive, remove its files, and then the finalizer. The API server removes the job.

Every step is idempotent, and any replica can continue: the whole state is in the job.
"""

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from darkroom_contract.jobs import Job
from darkroom_contract.names import FINALIZER_FILES, LABEL_DELETE_FILES, MODEL_ID_PATTERN, Kind, step_of_reference
from darkroom_contract.storage.keys import LORA_FILE, kohya_file, run_prefix, saved_step_prefix
from darkroom_gateway.deletion.background import run_for_each
from darkroom_gateway.deletion.deletable_job import (
    DeletableJob,
    Use,
    other_users,
    owned_folders,
    read_deletable_job,
    run_has_ended,
)
from darkroom_gateway.errors import AlreadyDeletingError, FieldError, RejectedError, UnknownTaskError
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.models.records import ModelRecords, lora_forms
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

MARK_TRIES = 5
"""The operator updates a running job's status about once a second, which makes a patch of an older version fail."""

LABELLED = {LABEL_DELETE_FILES: "true"}


@dataclass(frozen=True)
class ClusterState:
    """All jobs and slot holders at the time of one round."""

    jobs: tuple[DeletableJob, ...]
    slot_holders: frozenset[str]


class JobDeleter:
    """Deletes jobs of one namespace with their files."""

    def __init__(self, kube: KubeClient, storage: ObjectStorage) -> None:
        self._kube = kube
        self._storage = storage
        self._records = ModelRecords(storage, kube.namespace)

    def request(self, job: Job) -> None:
        """Steps 1 and 2. Raises `AlreadyDeletingError`, or `UnknownTaskError` when the job no longer exists."""
        self.request_if(job, lambda _: True)

    def request_if(self, job: Job, condition: Callable[[Job], bool]) -> bool:
        """`request` if the latest version of the job meets the condition; returns whether it does."""
        if not self._mark(job, condition):
            return False
        self._kube.delete(job)
        log.info("deleting %s with its files", job.key)
        return True

    def _mark(self, job: Job, condition: Callable[[Job], bool]) -> bool:
        """The patch fails if the job has changed since the condition was checked."""
        for attempt in range(MARK_TRIES):
            now = self.refresh(job)
            if now is None:
                break
            if not condition(now):
                return False
            if FINALIZER_FILES in now.finalizers:
                return True
            if now.deleting:
                raise AlreadyDeletingError(
                    f"{job.key} is already being deleted without its files, and can't be changed. Wait until it no "
                    "longer exists; docs/operations/data-deletion.md explains how to remove its files."
                )
            try:
                if self._kube.patch_metadata(job.kind, job.name, _mark_of(now.resource_version, now.finalizers)):
                    return True
            except RejectedError as error:
                # 409: the job has changed. 422: its deletion has started.
                if error.status not in (409, 422) or attempt == MARK_TRIES - 1:
                    raise
        message = (
            f"{job.key} no longer exists. If it was deleted without its files, they are still in object storage; "
            "docs/operations/data-deletion.md explains how to remove them."
        )
        raise UnknownTaskError(message, (FieldError("task_id", message, job.name),))

    def refresh(self, job: Job) -> Job | None:
        """The job's latest version from the API server, or None when it no longer exists."""
        now = self._kube.get(job.kind, job.name)
        return now if now is not None and now.uid == job.uid else None

    def labelled(self) -> list[DeletableJob]:
        """The jobs with the label that their files are deleted with them."""
        return [read_deletable_job(kind, each) for kind in Kind for each in self._kube.documents(kind, LABELLED)]

    def all(self) -> list[DeletableJob]:
        """All jobs of the namespace."""
        return [read_deletable_job(kind, each) for kind in Kind for each in self._kube.documents(kind)]

    def proceed(self, jobs: Iterable[DeletableJob]) -> list[str]:
        """Continue the deletion of each job as far as possible. Returns the uids of those whose files were removed.

        After a failure it continues with the other jobs, and raises the first failure at the end.
        """
        jobs = list(jobs)
        unmarked = [job for job in jobs if job.labelled and not job.deleting and not job.has_finalizer]
        deleted = [job for job in jobs if job.deletes_files]
        state = self._cluster_state() if deleted else ClusterState((), frozenset())
        removed: list[str] = []

        def advance(job: DeletableJob) -> None:
            if job.deleting:
                self._remove(job, state, removed)
            else:
                self._patch(job, _mark_of(job.resource_version, job.finalizers))

        run_for_each([*unmarked, *deleted], advance, lambda job: job.key)
        return removed

    def _cluster_state(self) -> ClusterState:
        return ClusterState(tuple(self.all()), frozenset(self._kube.slot_holders()))

    def _remove(self, job: DeletableJob, state: ClusterState, removed: list[str]) -> None:
        """Step 3, unless a run may still use the files: of this job, or of another job that is being deleted."""
        if not run_has_ended(job, state.slot_holders):
            return
        uses = self._uses(job, state)
        if Use.NONE in uses.values():
            # A round may take long: a job that was created since it began may read them.
            uses = self._uses(job, self._cluster_state())
        if Use.ENDING in uses.values():
            return
        inputs = sum(self._storage.delete_folder(folder) for folder, use in uses.items() if use is Use.NONE)
        files = self._storage.delete_below(run_prefix(job.uid), keep=self._kept(job))
        log.info("removed the files of %s: %d photos and pictures, %d of its runs", job.key, inputs, files)
        if job.has_finalizer:
            others = [each for each in job.finalizers if each != FINALIZER_FILES]
            self._patch(job, {"metadata": {"resourceVersion": job.resource_version, "finalizers": others}})
        removed.append(job.uid)

    def _uses(self, job: DeletableJob, state: ClusterState) -> dict[str, Use]:
        """How other jobs use each folder of photos and pictures of a job."""
        bucket = self._storage.bucket
        return {
            folder: other_users(job, (bucket, folder), state.jobs, state.slot_holders)
            for folder in owned_folders(job, bucket, self._kube.namespace)
        }

    def _kept(self, job: DeletableJob) -> frozenset[str]:
        """The LoRAs that a model and its saved steps refer to. They belong to the model and outlive the training."""
        if job.kind is not Kind.TRAIN or not re.fullmatch(MODEL_ID_PATTERN, job.model_id or ""):
            return frozenset()
        model_id = job.model_id or ""
        names = [model_id, *(f"{model_id}@{step}" for step in self._records.step_names(model_id))]
        kept: set[str] = set()
        for name in names:
            record = self._records.read(name)
            if record is not None:
                kept.update(lora_forms(record) if record.job_uid == job.uid else ())
            elif self._records.has(name):  # Possibly written by a newer release.
                kept |= {_prefix_of(job.uid, name) + file for file in (LORA_FILE, kohya_file(model_id))}
        return frozenset(kept)

    def _patch(self, job: DeletableJob, patch: dict[str, object]) -> None:
        """A job that has changed or no longer exists is left to the next round."""
        try:
            self._kube.patch_metadata(job.kind, job.name, patch)
        except RejectedError as error:
            if error.status not in (409, 422):
                raise
            log.debug("%s has changed: %s", job.key, error)


def _prefix_of(job_uid: str, reference: str) -> str:
    """Where a run stores the LoRA of a reference."""
    step = step_of_reference(reference)
    return run_prefix(job_uid) if step is None else saved_step_prefix(job_uid, step)


def _mark_of(resource_version: str, finalizers: tuple[str, ...]) -> dict[str, object]:
    metadata = {"resourceVersion": resource_version, "labels": LABELLED, "finalizers": [*finalizers, FINALIZER_FILES]}
    return {"metadata": metadata}
