"""The outcome of a run: the runner writes it as its container's termination message, the operator reads it.

Kubernetes keeps at most 4,096 bytes of it; `Outcome.to_message` stays below. The reasons are part of the API: they
appear in conditions, documentation and alerts, and are never renamed.
"""

from enum import StrEnum
from typing import Self

from pydantic import Field, ValidationError, field_validator

from darkroom_contract.remarks import MAX_REMARKS, Remark, RemarkReason
from darkroom_contract.schema import Metrics, PrintableText, Schema

MAX_MESSAGE_BYTES = 4096
MAX_TEXT_BYTES = 1200
"""Limit of the message's text, JSON-encoded."""


class Reason(StrEnum):
    """Why a run or a job failed. `retriable`: another run might succeed."""

    # What the runner reports.
    DATASET_INVALID = "DatasetInvalid"
    DATASET_NOT_ALLOWED = "DatasetNotAllowed"
    DATASET_NOT_FOUND = "DatasetNotFound"
    IMAGE_INVALID = "ImageInvalid"
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"
    IMAGE_NOT_FOUND = "ImageNotFound"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_INCOMPATIBLE = "ModelIncompatible"
    BASE_MODEL_NOT_FOUND = "BaseModelNotFound"
    INVALID_RUN = "InvalidRun"
    PROMPT_TOO_LONG = "PromptTooLong"
    TRAINING_DIVERGED = "TrainingDiverged"
    NON_FINITE_OUTPUT = "NonFiniteOutput"
    OUT_OF_MEMORY = "OutOfMemory"
    DISK_FULL = "DiskFull"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    SIGNING_FAILED = "SigningFailed"
    INTERRUPTED = "Interrupted"
    INTERNAL_ERROR = "InternalError"
    # What the operator concludes.
    INVALID_SPEC = "InvalidSpec"
    POD_FAILED = "PodFailed"
    POD_LOST = "PodLost"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"
    ACTIVE_DEADLINE_EXCEEDED = "ActiveDeadlineExceeded"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"

    @property
    def retriable(self) -> bool:
        return self not in _FINAL


_FINAL = frozenset(
    {
        Reason.DATASET_INVALID,
        Reason.DATASET_NOT_ALLOWED,
        Reason.DATASET_NOT_FOUND,
        Reason.IMAGE_INVALID,
        Reason.IMAGE_NOT_ALLOWED,
        Reason.IMAGE_NOT_FOUND,
        Reason.MODEL_NOT_FOUND,
        Reason.MODEL_INCOMPATIBLE,
        Reason.BASE_MODEL_NOT_FOUND,
        Reason.INVALID_RUN,
        Reason.PROMPT_TOO_LONG,
        Reason.TRAINING_DIVERGED,
        Reason.NON_FINITE_OUTPUT,
        Reason.INVALID_SPEC,
        Reason.ACTIVE_DEADLINE_EXCEEDED,
        Reason.BACKOFF_LIMIT_EXCEEDED,
    }
)


_REASONS = frozenset(Reason)


class Artifact(Schema):
    """One file that the job made, in object storage."""

    key: str = Field(
        max_length=512,
        description="Object key in Darkroom's bucket, such as runs/<job uid>/<job name>-seed-0.png.",
    )
    content_type: str = Field(
        max_length=100, description="Media type, such as image/png, video/mp4 or application/octet-stream (a LoRA)."
    )
    bytes: int = Field(ge=0, description="Size of the object in bytes, as the run uploaded it.")
    sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 of the content, in hexadecimal, to verify a download."
    )


class OutcomeFile(Schema):
    """An artifact as the termination message names it: the part of its key behind the run's prefix."""

    name: str = Field(max_length=100)
    content_type: str = Field(max_length=100)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Outcome(Schema):
    """How one run ended: with files, or with a reason and a message."""

    succeeded: bool
    reason: Reason | None = None
    message: PrintableText = ""
    prefix: str = Field("", description="Storage prefix of the files, ending in a slash.")
    files: tuple[OutcomeFile, ...] = ()
    metrics: Metrics = Field(default_factory=dict)
    saved_step: int | None = Field(
        None, ge=0, description="The newest training step whose state is in storage, when the run did not succeed."
    )
    remarks: tuple[Remark, ...] = Field((), description="What was cut, left out, converted or replaced.")
    job_uid: str | None = Field(
        None,
        max_length=64,
        description="Job of the run. A pod that takes over further runs may end with the outcome of an earlier one.",
    )
    attempt: int | None = Field(None, ge=1, description="Number of the run.")

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return tuple(
            Artifact(key=self.prefix + file.name, content_type=file.content_type, bytes=file.bytes, sha256=file.sha256)
            for file in self.files
        )

    def to_message(self) -> str:
        """The termination message, cut so that Kubernetes keeps the whole of it.

        Remarks that do not fit are replaced by one that counts them: the run's log has them all. Never raises over a
        text, whatever is in it. Raises `ValueError` for more files than a job makes.
        """
        text = _shortened(self.message, MAX_TEXT_BYTES)
        for kept in range(min(len(self.remarks), MAX_REMARKS), -1, -1):
            remarks = _first_remarks(self.remarks, kept)
            short = self.model_copy(update={"message": text, "remarks": remarks})
            message = short.model_dump_json(by_alias=True, exclude_none=True)
            if len(message.encode()) <= MAX_MESSAGE_BYTES:
                return message
        raise ValueError(f"an outcome of {len(message.encode())} bytes does not fit a termination message")

    @classmethod
    def from_message(cls, message: str) -> Self | None:
        """The outcome in a termination message, or None when it holds none (a kernel's kill, a crash at start)."""
        try:
            return cls.model_validate_json(message)
        except ValidationError:
            return None

    @field_validator("reason", mode="before")
    @classmethod
    def _known(cls, reason: object) -> object:
        """A reason of a newer runner, during an upgrade, is one that this release did not foresee."""
        return Reason.INTERNAL_ERROR if isinstance(reason, str) and reason not in _REASONS else reason


def _shortened(text: str, most_bytes: int) -> str:
    """A printable text of a limited number of bytes as JSON writes it, where quotes and backslashes take two."""
    encoded, escaped = text.encode(), text.count('"') + text.count("\\")
    if len(encoded) + escaped <= most_bytes:
        return text
    return encoded[: max(most_bytes // 2, most_bytes - escaped)].decode(errors="ignore") + "…"


def _first_remarks(remarks: tuple[Remark, ...], kept: int) -> tuple[Remark, ...]:
    """The first `kept` remarks, the last of which gives way to a count of those that are left out."""
    if len(remarks) <= kept or kept == 0:
        return remarks[:kept]
    left_out = len(remarks) - kept + 1
    count = Remark(
        reason=RemarkReason.REMARKS_LEFT_OUT,
        message=f"{left_out} more remarks are in the run's log.",
    )
    return (*remarks[: kept - 1], count)
