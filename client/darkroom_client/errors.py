"""Everything that the client raises.

DarkroomError
├── ConfigurationError           the gateway's address, the key or the configuration file can't be used
├── InputError                   a local file can't be sent: missing, too large, of an unknown kind
│   └── InvalidSpecError         fields of a spec that the gateway would refuse
├── GatewayUnreachableError      no connection, or it broke, after all retries
├── GatewayError                 the gateway answered with an error: status, reason, errors, advice
│   ├── InvalidRequestError      400, 413, 414, 422: change the request
│   ├── UnauthorizedError        401, 403: the key is missing, unknown or not allowed to do this
│   ├── NotFoundError            404
│   ├── ConflictError            409: such as a model in use, or a job that has ended
│   ├── TooManyRequestsError     429
│   └── GatewayUnavailableError  5xx, after all retries
├── UnexpectedAnswerError        an answer that is not one of Darkroom's
├── DownloadError                a file did not arrive as announced
│   └── NotSavedError            it can't be written: a full disk, a folder without permission
├── JobFailedError               raised by Job.require_success
└── WaitTimeoutError             the job has not ended in the time that was given to wait()
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkroom_client.models import Job


class DarkroomError(Exception):
    """`str(error)` says what is wrong. `advice` says what to do, where the message does not."""

    reason = "Error"
    """A stable CamelCase word, for programs."""
    advice: str | None = None
    retry_after_seconds: float | None = None


class ConfigurationError(DarkroomError):
    reason = "InvalidConfiguration"


class InputError(DarkroomError):
    reason = "InvalidInput"


class GatewayUnreachableError(DarkroomError):
    reason = "GatewayUnreachable"

    def __init__(self, gateway: str, detail: str, *, was_sent: bool) -> None:
        super().__init__(f"The gateway at {gateway} can't be reached: {detail}.")
        self.advice = (
            "Check the address (--gateway, DARKROOM_GATEWAY_URL or darkroom login), or start a gateway on this machine "
            "with: darkroom up"
        )
        self.was_sent = was_sent
        """Whether the gateway may have received the request."""


@dataclass(frozen=True)
class FieldProblem:
    """One thing to change in a request."""

    parameter: str
    """A dotted path into the body, such as training.rank; or the name of a parameter or a file."""
    message: str
    given: str | None = None

    def __str__(self) -> str:
        return f"{self.parameter}: {self.message}"


class InvalidSpecError(InputError):
    """A spec that does not fit the contract."""

    reason = "InvalidSpec"

    def __init__(self, errors: Sequence[FieldProblem], contradiction: str | None = None) -> None:
        """`contradiction`: of fields that each have a valid value."""
        super().__init__(contradiction or " ".join(map(str, errors[:3])))
        self.errors = tuple(errors)


class GatewayError(DarkroomError):
    """An error of the gateway, from its problem details (RFC 9457)."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        *,
        advice: str | None = None,
        retry_after_seconds: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.errors = tuple(errors)
        self.advice = advice or self.advice
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id
        """Also in the gateway's log."""


class InvalidRequestError(GatewayError):
    pass


class UnauthorizedError(GatewayError):
    advice = "Set DARKROOM_API_KEY, or store the key with: darkroom login"


class NotFoundError(GatewayError):
    pass


class ConflictError(GatewayError):
    pass


class TooManyRequestsError(GatewayError):
    pass


class GatewayUnavailableError(GatewayError):
    pass


class UnexpectedAnswerError(DarkroomError):
    reason = "UnexpectedAnswer"
    advice = "Check that the address is a Darkroom gateway of this release or a later one."


class DownloadError(DarkroomError):
    reason = "Download"

    def __init__(self, detail: str, *, status: int | None = None, is_broken_off: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        """Of the answer, if that was an error. Expired links get 403."""
        self.is_broken_off = is_broken_off
        """The connection failed: another attempt may succeed."""

    @property
    def is_expired(self) -> bool:
        """Whether a fresh link may help."""
        return self.status in (401, 403, 404, 410)


class NotSavedError(DownloadError):
    reason = "NotSaved"

    def __init__(self, path: Path, error: OSError) -> None:
        is_no_folder = isinstance(error, FileExistsError | NotADirectoryError)
        super().__init__(
            f"{path} can't be written: {'it is not a folder' if is_no_folder else error.strerror or error}."
        )
        no_space = error.errno in (errno.ENOSPC, errno.EDQUOT)
        self.advice = "Free some space, or choose another folder." if no_space else "Choose another folder."


class JobFailedError(DarkroomError):
    """`job` is the job as it ended."""

    def __init__(self, job: Job) -> None:
        error = job.error
        super().__init__(f"{job.id} failed: {error.message if error else 'no reason is known'}")
        self.job = job
        self.reason = error.reason if error else "JobFailed"
        self.advice = error.advice if error else None


class WaitTimeoutError(DarkroomError):
    """`job` is the job as it was last seen. It continues."""

    reason = "WaitTimeout"

    def __init__(self, job: Job, seconds: float) -> None:
        super().__init__(f"{job.id} has not ended after {seconds:g} seconds: it is {job.status}.")
        self.job = job
