"""Exit codes of `darkroom`, documented in docs/client.md."""

from enum import IntEnum

from darkroom_client import errors


class ExitCode(IntEnum):
    DONE = 0
    JOB_FAILED = 1
    """The job failed, or was deleted before its end."""
    USAGE = 2
    """A wrong option or file, or a request that the gateway refuses as invalid."""
    NOT_FOUND = 3
    UNAVAILABLE = 4
    """The gateway can't be reached, fails, or asks to wait longer than the command does."""
    UNAUTHORIZED = 5
    CONFLICT = 6
    NOT_SAVED = 7
    """A file could not be downloaded or written."""
    INTERRUPTED = 130
    """128 + SIGINT, as in shells."""
    BROKEN_PIPE = 141
    """128 + SIGPIPE: the reader of the output has ended."""


_CODES: tuple[tuple[type[errors.DarkroomError], ExitCode], ...] = (
    (errors.JobFailedError, ExitCode.JOB_FAILED),
    (errors.InputError, ExitCode.USAGE),
    (errors.ConfigurationError, ExitCode.USAGE),
    (errors.InvalidRequestError, ExitCode.USAGE),
    (errors.NotFoundError, ExitCode.NOT_FOUND),
    (errors.UnauthorizedError, ExitCode.UNAUTHORIZED),
    (errors.ConflictError, ExitCode.CONFLICT),
    (errors.DownloadError, ExitCode.NOT_SAVED),
)


def exit_code_of(error: errors.DarkroomError) -> ExitCode:
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.UNAVAILABLE)
