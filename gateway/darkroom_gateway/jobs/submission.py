"""Idempotent creation of jobs: a repeated request creates one job. Used by both submission services."""

import logging
from collections.abc import Mapping

from darkroom_contract.jobs import Job, write_job
from darkroom_contract.names import (
    ANNOTATION_PHOTOS_SHA256,
    ANNOTATION_TRACEPARENT,
    ANNOTATION_UPLOAD,
    LABEL_MANAGED_BY,
    LABEL_MODEL_ID,
    LABEL_PART_OF,
    LABEL_SUBMITTED_BY,
    PART_OF,
    Kind,
    model_of_reference,
)
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.job import MUTABLE_FIELDS
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import parse_uri
from darkroom_contract.tracing.tracing import Tracing
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import CLUSTER_READ_SECONDS, CLUSTER_WRITE_SECONDS
from darkroom_gateway.errors import ClusterUnavailableError, KeyReusedError, RejectedError
from darkroom_gateway.jobs.submission_limits import JobName, SubmissionLimits
from darkroom_gateway.jobs.task_ids import new_task_id, task_id_for
from darkroom_gateway.jobs.webhook_policy import WebhookPolicy
from darkroom_gateway.kube.client import AlreadyExistsError, KubeClient
from darkroom_gateway.metrics import Metrics

log = logging.getLogger(__name__)

COMPONENT = "darkroom-gateway"

NOT_COMPARED = MUTABLE_FIELDS | {"dataset"}
"""Fields that may differ between a repeated request and its job: mutable fields change, and every copy of a request
stores its photos under its own prefix. `require_same_photos` and `require_same_dataset` compare them. The URIs of start
pictures are not compared either, for the same reason: `require_same_photos` compares the pictures."""

Spec = TrainJobSpec | GenerateJobSpec


def task_id(kind: Kind, idempotency_key: str | None) -> str:
    return new_task_id(kind) if idempotency_key is None else task_id_for(kind, idempotency_key)


class JobSubmission:
    """Creates jobs, each at most once per idempotency key."""

    def __init__(
        self,
        kube: KubeClient,
        backend: Backend,
        metrics: Metrics,
        webhooks: WebhookPolicy,
        limits: SubmissionLimits,
        tracing: Tracing,
    ) -> None:
        self._kube = kube
        self._limits = limits
        self._tracing = tracing
        self._backend = backend
        self._metrics = metrics
        self._webhooks = webhooks
        self.namespace = kube.namespace

    def require_webhook(self, spec: Spec) -> None:
        """Raises `InvalidRequestError` for a webhook that this gateway would not send."""
        self._webhooks.require(spec)

    async def find_earlier(self, name: str, spec: Spec) -> Job | None:
        """The job that an earlier copy of this request created. Raises `KeyReusedError` when its parameters differ.

        Photos are not compared, because the caller has not read them yet.
        """
        return await self._backend.call(CLUSTER_READ_SECONDS, self._find_earlier, name, spec)

    async def require_capacity(self, key_name: str | None) -> None:
        """Raises `QuotaExceededError` or `QueueFullError` if one more job would exceed a limit, and
        `ClusterUnavailableError` while the jobs are unknown that count.

        `create_or_find` checks it, too: call this before files are read and stored.
        """
        await self._limits.ready()
        self._limits.require(key_name)

    async def create_or_find(
        self,
        name: str,
        spec: Spec,
        key_name: str | None,
        photos_sha256: str | None = None,
        upload_uri: str | None = None,
    ) -> Job:
        """Create the job, or return the one that another copy of the request has just created.

        If the response of the API server is lost, the job may exist: it is then read back. `photos_sha256` is the
        fingerprint of the uploaded photos or of the start pictures; None without either. `upload_uri` is the upload by
        links that has the photos. An abandoned call may still create the job: the `ClusterUnavailableError` is then
        `maybe_done`. Raises what `require_capacity` raises.
        """
        kind = _kind(spec)
        await self._limits.ready()
        attributes = {"darkroom.job.kind": kind.value, "darkroom.job.name": name}
        with self._limits.accept(JobName(kind, name), key_name), self._tracing.span("create job", attributes):
            return await self._backend.call(
                CLUSTER_WRITE_SECONDS, self._create_or_find, name, spec, key_name, photos_sha256, upload_uri
            )

    def _find_earlier(self, name: str, spec: Spec) -> Job | None:
        job = self._kube.get(_kind(spec), name)
        if job is not None and _immutable_fields(job.spec) != _immutable_fields(spec):
            raise KeyReusedError(
                f"{job.key} was submitted with this Idempotency-Key and other parameters. Use a new key."
            )
        return job

    def _create_or_find(
        self, name: str, spec: Spec, key_name: str | None, photos_sha256: str | None, upload_uri: str | None
    ) -> Job:
        try:
            return self._create(
                name, spec, key_name, {ANNOTATION_PHOTOS_SHA256: photos_sha256, ANNOTATION_UPLOAD: upload_uri}
            )
        except AlreadyExistsError as error:
            job = _found(self._find_earlier(name, spec), name, error)
            require_kept(job)
        except ClusterUnavailableError as error:
            job = _found(self._find_after_outage(name, spec, error), name, error)
        if photos_sha256 is not None:
            require_same_photos(job, photos_sha256)
        elif isinstance(spec, TrainJobSpec):
            require_same_dataset(job, spec)
        return job

    def _create(self, name: str, spec: Spec, key_name: str | None, files: Mapping[str, str | None]) -> Job:
        """`files` are the annotations of its files.

        Raises `AlreadyExistsError`, `RejectedError` or `ClusterUnavailableError`.
        """
        labels = {LABEL_PART_OF: PART_OF, LABEL_MANAGED_BY: COMPONENT}
        if (model_id := _only_model(spec)) is not None:
            labels[LABEL_MODEL_ID] = model_id
        if key_name is not None:
            labels[LABEL_SUBMITTED_BY] = key_name
        given = {**files, ANNOTATION_TRACEPARENT: self._tracing.traceparent()}
        annotations = {each: value for each, value in given.items() if value is not None}
        document = write_job(spec, name=name, namespace=self.namespace, labels=labels, annotations=annotations)
        job = self._kube.create(document)
        log.info("created %s", job.key)
        self._metrics.count_submission(job.kind)
        return job

    def _find_after_outage(self, name: str, spec: Spec, outage: ClusterUnavailableError) -> Job | None:
        """The job if it was created. Raises `outage` when that can't be determined."""
        if not outage.maybe_done:
            raise outage
        try:
            return self._find_earlier(name, spec)
        except ClusterUnavailableError:
            raise outage from None


def require_same_photos(job: Job, photos_sha256: str) -> None:
    """Raises `KeyReusedError` unless the job was created with these photos, or start pictures.

    A job without a fingerprint was created by an older gateway, or with `dataset_uri`. Its photos may differ, and
    returning the task of another request would be worse than an error: a new key always works."""
    files = "photos" if isinstance(job.spec, TrainJobSpec) else "pictures"
    if job.photos_sha256 is None:
        raise KeyReusedError(
            f"{job.key} was submitted with this Idempotency-Key and has no fingerprint of its {files}, because it was "
            "submitted with dataset_uri or to an older gateway: they can't be compared. "
            "Use a new key for another job."
        )
    if job.photos_sha256 != photos_sha256:
        raise KeyReusedError(f"{job.key} was submitted with this Idempotency-Key and other {files}. Use a new key.")


def require_same_dataset(job: Job, spec: TrainJobSpec) -> None:
    """Raises `KeyReusedError` unless the job trains on the dataset of `spec`, which the request named."""
    if not isinstance(job.spec, TrainJobSpec) or parse_uri(job.spec.dataset.uri) != parse_uri(spec.dataset.uri):
        raise KeyReusedError(f"{job.key} was submitted with this Idempotency-Key and other photos. Use a new key.")


def require_kept(job: Job) -> None:
    """Raises `KeyReusedError` for a job that is being deleted and will not run."""
    if job.deleting:
        raise KeyReusedError(
            f"{job.key} was submitted with this Idempotency-Key and is being deleted. Wait until it no longer exists, "
            "or use a new key."
        )


def _only_model(spec: Spec) -> str | None:
    """The model that the job trains or uses, as a label: without a saved step, whose `@` no label may have. None for
    several models."""
    if isinstance(spec, TrainJobSpec):
        return spec.model_id
    models = {model_of_reference(each) for each in spec.model_references}
    return models.pop() if len(models) == 1 else None


def _kind(spec: Spec) -> Kind:
    return Kind.TRAIN if isinstance(spec, TrainJobSpec) else Kind.GENERATE


def _immutable_fields(spec: Spec) -> dict[str, object]:
    fields = spec.model_dump(exclude=set(NOT_COMPARED))
    if isinstance(spec, TrainJobSpec):
        # Releases up to 0.1 stored the default learning rate of a job that named none.
        fields["training"]["learning_rate"] = spec.training.peak_learning_rate
    else:
        for image in (fields["start_image"], fields["mask"], fields["video"]["start_image"]):
            if image is not None:
                del image["uri"]
    return fields


def _found(job: Job | None, name: str, error: Exception) -> Job:
    if job is not None:
        return job
    if isinstance(error, ClusterUnavailableError):
        raise error
    raise RejectedError(409, f"{name} was deleted during the request. Send the request again.") from error
