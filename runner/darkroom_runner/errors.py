"""Why a run fails: one tree, each leaf with the reason of the contract that the operator acts upon.

    RunError
    ├── InvalidRunError          InvalidRun          the document, or two of its settings together, make no sense
    ├── DatasetInvalidError      DatasetInvalid      a photo can't be used
    ├── DatasetNotAllowedError   DatasetNotAllowed   its folder is none that this deployment lets the namespace read
    ├── DatasetNotFoundError     DatasetNotFound     there are no photos
    ├── ModelNotFoundError       ModelNotFound       no LoRA of that name
    ├── ModelIncompatibleError   ModelIncompatible   LoRA or base model are of another make
    ├── BaseModelNotFoundError   BaseModelNotFound   no such base model, here or on the hub
    ├── PromptTooLongError       PromptTooLong       a training's prompt is cut by the text encoders
    ├── NonFiniteOutputError     NonFiniteOutput     what was drawn is NaN or infinite, in float32 too
    ├── TrainingDivergedError    TrainingDiverged    the loss is no number any more
    ├── OutOfMemoryError         OutOfMemory
    ├── DiskFullError            DiskFull
    ├── StorageUnavailableError  StorageUnavailable  object storage can't be reached, or refuses
    ├── InterruptedRunError      Interrupted         SIGTERM
    └── InternalError            InternalError       everything that nobody foresaw

`translate` gives any exception its place in the tree. It imports no torch: most runs that fail do so before that.
"""

import errno
from typing import ClassVar

from darkroom_contract.outcome import Reason
from darkroom_contract.remarks import Remark


class RunError(Exception):
    """A run that ends without a result. The message says what was wrong and what to do."""

    reason: ClassVar[Reason] = Reason.INTERNAL_ERROR
    saved_step: int | None = None
    """The newest training step whose state lies in storage; `lifecycle` adds it."""
    remarks: tuple[Remark, ...] = ()
    """What the run had remarked until then; `lifecycle` adds it."""


class InvalidRunError(RunError):
    reason = Reason.INVALID_RUN


class DatasetInvalidError(RunError):
    reason = Reason.DATASET_INVALID


class DatasetNotAllowedError(RunError):
    reason = Reason.DATASET_NOT_ALLOWED


class DatasetNotFoundError(RunError):
    reason = Reason.DATASET_NOT_FOUND


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


class InterruptedRunError(RunError):
    reason = Reason.INTERRUPTED


class InternalError(RunError):
    reason = Reason.INTERNAL_ERROR


_MEMORY_ADVICE = "Make the pictures, the resolution or the batch smaller, or run on a machine with more memory."
_DISK_ADVICE = "Give the runner a larger scratch volume."


def translate(error: BaseException) -> RunError:
    """The place of any exception in the tree; what is in it already stays as it is."""
    if isinstance(error, RunError):
        return error
    if is_out_of_memory(error):
        return OutOfMemoryError(f"Memory ran out: {first_line(error)} {_MEMORY_ADVICE}")
    if is_disk_full(error):
        return DiskFullError(f"The disk is full: {first_line(error)}. {_DISK_ADVICE}")
    return InternalError(f"{type(error).__name__}: {first_line(error)}")


def is_out_of_memory(error: BaseException) -> bool:
    """Python's own, CUDA's (`torch.OutOfMemoryError`) and torch's CPU allocator, which raises a bare RuntimeError."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
    )


def is_disk_full(error: BaseException) -> bool:
    """Also where a library (safetensors, PyAV) has wrapped the system's error and only its words are left."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error)


def first_line(error: BaseException) -> str:
    """The first line of an error's text; libraries add pages."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
