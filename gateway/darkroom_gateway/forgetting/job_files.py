"""Deleting a job together with its files. Synchronous; called from worker threads by sweeper.py.

1. The job gets a label and a finalizer: from now on it can't go before its files.
2. The job is deleted. The API server marks it, and the operator ends its run.
3. Once no run of it can be alive, any gateway removes its files, and the finalizer last. Then the job is gone.

Each step may be repeated, by whichever gateway is there: the job itself holds all that has to be remembered.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from darkroom_contract.jobs import Job
from darkroom_contract.names import FINALIZER_FILES, LABEL_DELETE_FILES, MODEL_ID_PATTERN, Kind
from darkroom_contract.storage import LORA_FILE, ModelRecord, model_record_key, run_prefix
from darkroom_gateway.cluster import Cluster
from darkroom_gateway.errors import AlreadyDeletingError, Complaint, RejectedError, UnknownTaskError
from darkroom_gateway.forgetting.held_jobs import (
    HeldJob,
    Use,
    own_dataset,
    read_held_job,
    run_is_over,
    use_by_others,
)
from darkroom_gateway.forgetting.rounds import each_in_turn
from darkroom_gateway.storage import Storage

log = logging.getLogger(__name__)

MARK_TRIES = 5
"""The operator writes a running job's status about once a second: a patch of an older version is refused."""

LABELLED = {LABEL_DELETE_FILES: "true"}


@dataclass(frozen=True)
class Situation:
    """What else there is while files are removed."""

    trainings: tuple[HeldJob, ...]
    slot_holders: frozenset[str]


class JobFiles:
    """The files of the jobs of one namespace."""

    def __init__(self, cluster: Cluster, storage: Storage) -> None:
        self._cluster = cluster
        self._storage = storage

    def request(self, job: Job) -> None:
        """Steps 1 and 2. Raises `AlreadyDeletingError` or `UnknownTaskError` when it is too late for step 1."""
        self._mark(job)
        self._cluster.delete(job)
        log.info("%s is deleted with its files", job.key)

    def _mark(self, job: Job) -> None:
        for attempt in range(MARK_TRIES):
            now = self.find_again(job)
            if now is None:
                break
            if FINALIZER_FILES in now.finalizers:
                return
            if now.deleting:
                raise AlreadyDeletingError(
                    f"{job.key} is being deleted already, without its files, and can't be changed any more. "
                    "Wait until it is gone; docs/operations/forgetting.md says how to remove what it leaves behind."
                )
            try:
                if self._cluster.patch_metadata(job.kind, job.name, _mark_of(now.resource_version, now.finalizers)):
                    return
            except RejectedError as error:
                # 409: the job has changed. 422: it is being deleted since.
                if error.status not in (409, 422) or attempt == MARK_TRIES - 1:
                    raise
        message = (
            f"{job.key} is gone already. If it was deleted without its files, they stay in object storage; "
            "docs/operations/forgetting.md says how to remove them."
        )
        raise UnknownTaskError(message, (Complaint("task_id", message, job.name),))

    def find_again(self, job: Job) -> Job | None:
        """The job as the API server has it now, or None when it is gone."""
        now = self._cluster.get(job.kind, job.name)
        return now if now is not None and now.uid == job.uid else None

    def labelled(self) -> list[HeldJob]:
        """The jobs whose files go with them, by their label."""
        return [read_held_job(kind, each) for kind in Kind for each in self._cluster.documents(kind, LABELLED)]

    def all(self) -> list[HeldJob]:
        """Every job of the namespace."""
        return [read_held_job(kind, each) for kind in Kind for each in self._cluster.documents(kind)]

    def proceed(self, jobs: Iterable[HeldJob]) -> list[str]:
        """Take each job as far as it goes now. Returns the uids of those whose files are gone.

        A failure stops none of the others; the first one is raised at the end.
        """
        jobs = list(jobs)
        unmarked = [job for job in jobs if job.labelled and not job.deleting and not job.held]
        going = [job for job in jobs if job.goes_with_its_files]
        situation = self._situation() if going else Situation((), frozenset())
        gone: list[str] = []

        def advance(job: HeldJob) -> None:
            if job.deleting:
                self._remove(job, situation, gone)
            else:
                self._patch(job, _mark_of(job.resource_version, job.finalizers))

        each_in_turn([*unmarked, *going], advance, lambda job: job.key)
        return gone

    def _situation(self) -> Situation:
        trainings = tuple(read_held_job(Kind.TRAIN, each) for each in self._cluster.documents(Kind.TRAIN))
        return Situation(trainings, frozenset(self._cluster.slot_holders()))

    def _remove(self, job: HeldJob, situation: Situation, gone: list[str]) -> None:
        """Step 3, unless a run may still use the files: of this job, or of another one that is being deleted."""
        dataset = own_dataset(job, self._storage.bucket, self._cluster.namespace)
        use = use_by_others(job, situation.trainings, situation.slot_holders)
        if not run_is_over(job, situation.slot_holders) or (dataset is not None and use is Use.ENDING):
            return
        photos = self._storage.delete_folder(dataset) if dataset is not None and use is Use.NONE else 0
        files = self._storage.delete_below(run_prefix(job.uid), keep=self._kept(job))
        log.info("removed the files of %s: %d of its dataset, %d of its runs", job.key, photos, files)
        if job.held:
            others = [each for each in job.finalizers if each != FINALIZER_FILES]
            self._patch(job, {"metadata": {"resourceVersion": job.resource_version, "finalizers": others}})
        gone.append(job.uid)

    def _kept(self, job: HeldJob) -> frozenset[str]:
        """The weights of the model that a training made, if its id still means them: the model is not the job's."""
        if job.kind is not Kind.TRAIN or not re.fullmatch(MODEL_ID_PATTERN, job.model_id or ""):
            return frozenset()
        content = self._storage.read(model_record_key(self._cluster.namespace, job.model_id or ""))
        if content is None:
            return frozenset()
        try:
            record = ModelRecord.model_validate_json(content)
        except ValidationError:
            return frozenset({run_prefix(job.uid) + LORA_FILE})  # Perhaps a newer release's record.
        return frozenset({record.weights_key}) if record.job_uid == job.uid else frozenset()

    def _patch(self, job: HeldJob, patch: dict[str, object]) -> None:
        """A job that has changed or is gone is looked at again in the next round."""
        try:
            self._cluster.patch_metadata(job.kind, job.name, patch)
        except RejectedError as error:
            if error.status not in (409, 422):
                raise
            log.debug("%s has changed: %s", job.key, error)


def _mark_of(resource_version: str, finalizers: tuple[str, ...]) -> dict[str, object]:
    metadata = {"resourceVersion": resource_version, "labels": LABELLED, "finalizers": [*finalizers, FINALIZER_FILES]}
    return {"metadata": metadata}
