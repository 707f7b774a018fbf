"""The runner's exceptions. Each leaf has a `Reason` of the contract, which decides what the operator does next.

    RunError
    ├── InvalidRunError          InvalidRun          the run document is invalid, or two of its settings conflict
    ├── DatasetInvalidError      DatasetInvalid      a photo can't be used
    ├── DatasetNotAllowedError   DatasetNotAllowed   the namespace may not read that folder
    ├── DatasetNotFoundError     DatasetNotFound     no photos, or no such bucket
    ├── ImageInvalidError        ImageInvalid        a start picture or mask can't be used
    ├── ImageNotAllowedError     ImageNotAllowed     the namespace may not read that picture
    ├── ImageNotFoundError       ImageNotFound       no such picture, or its job has not finished
    ├── ModelNotFoundError       ModelNotFound       no LoRA with that model id
    ├── ModelIncompatibleError   ModelIncompatible   the LoRA or base model is of another architecture
    ├── BaseModelNotFoundError   BaseModelNotFound   not in the model root and not on the hub
    ├── PromptTooLongError       PromptTooLong       a training prompt is longer than the text encoders read
    ├── NonFiniteOutputError     NonFiniteOutput     the output is NaN or infinite, in float32 too
    ├── TrainingDivergedError    TrainingDiverged    the loss became NaN or infinite
    ├── OutOfMemoryError         OutOfMemory
    ├── DiskFullError            DiskFull
    ├── StorageUnavailableError  StorageUnavailable  object storage is unreachable or refused the request
    ├── SigningFailedError       SigningFailed       the certificate for Content Credentials can't sign
    ├── InterruptedRunError      Interrupted         SIGTERM
    └── InternalError            InternalError       any other exception

`translate` maps any other exception to this tree. It does not import torch: most failing runs fail before the import.
"""

import errno
from typing import ClassVar

from darkroom_contract.outcome import Reason
from darkroom_contract.remarks import Remark


class RunError(Exception):
    """The run failed. The message says what is wrong and what to do."""

    reason: ClassVar[Reason] = Reason.INTERNAL_ERROR
    saved_step: int | None = None
    """The newest training step with a checkpoint in storage; set by `lifecycle`."""
    remarks: tuple[Remark, ...] = ()
    """The remarks collected before the failure; set by `lifecycle`."""


class InvalidRunError(RunError):
    reason = Reason.INVALID_RUN


class DatasetInvalidError(RunError):
    reason = Reason.DATASET_INVALID


class DatasetNotAllowedError(RunError):
    reason = Reason.DATASET_NOT_ALLOWED


class DatasetNotFoundError(RunError):
    reason = Reason.DATASET_NOT_FOUND


class ImageInvalidError(RunError):
    reason = Reason.IMAGE_INVALID


class ImageNotAllowedError(RunError):
    reason = Reason.IMAGE_NOT_ALLOWED


class ImageNotFoundError(RunError):
    reason = Reason.IMAGE_NOT_FOUND


class ModelNotFoundError(RunError):
    reason = Reason.MODEL_NOT_FOUND


class ModelIncompatibleError(RunError):
    reason = Reason.MODEL_INCOMPATIBLE


class BaseModelNotFoundError(RunError):
    reason = Reason.BASE_MODEL_NOT_FOUND


class PromptTooLongError(RunError):
    reason = Reason.PROMPT_TOO_LONG


class NonFiniteOutputError(RunError):
    reason = Reason.NON_FINITE_OUTPUT


class TrainingDivergedError(RunError):
    reason = Reason.TRAINING_DIVERGED


class OutOfMemoryError(RunError):
    reason = Reason.OUT_OF_MEMORY


class DiskFullError(RunError):
    reason = Reason.DISK_FULL


class StorageUnavailableError(RunError):
    reason = Reason.STORAGE_UNAVAILABLE


class SigningFailedError(RunError):
    reason = Reason.SIGNING_FAILED


class InterruptedRunError(RunError):
    reason = Reason.INTERRUPTED


class InternalError(RunError):
    reason = Reason.INTERNAL_ERROR


_MEMORY_ADVICE = "Use smaller images, a lower resolution or a smaller batch, or a machine with more memory."
_DISK_ADVICE = "Give the runner a larger scratch volume."


def translate(error: BaseException) -> RunError:
    """Map any exception to a `RunError`; a `RunError` is returned unchanged."""
    if isinstance(error, RunError):
        return error
    if is_out_of_memory(error):
        return OutOfMemoryError(f"Out of memory: {first_line(error)} {_MEMORY_ADVICE}")
    if is_disk_full(error):
        return DiskFullError(f"The disk is full: {first_line(error)}. {_DISK_ADVICE}")
    return InternalError(f"{type(error).__name__}: {first_line(error)}")


def is_out_of_memory(error: BaseException) -> bool:
    """Python's MemoryError, CUDA's `torch.OutOfMemoryError`, and the plain RuntimeError of torch's CPU allocator."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
    )


def is_disk_full(error: BaseException) -> bool:
    """Also recognised by its text: safetensors and PyAV wrap the system error and keep only the message."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error)


def first_line(error: BaseException) -> str:
    """The first line of an error message; some libraries append pages of detail."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
