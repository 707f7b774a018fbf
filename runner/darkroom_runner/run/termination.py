"""The exit code, and the outcome as the container's termination message. Called by `worker`."""

import logging
import os
from pathlib import Path

from darkroom_contract.outcome import Outcome, Reason

log = logging.getLogger(__name__)

EXIT_SUCCEEDED = 0
EXIT_FAILED = 1
EXIT_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: a retry may succeed."""
EXIT_INTERRUPTED = 143
"""128 + SIGTERM, as shells report it."""


def exit_code(outcome: Outcome) -> int:
    if outcome.succeeded:
        return EXIT_SUCCEEDED
    if outcome.reason is Reason.INTERRUPTED:
        return EXIT_INTERRUPTED
    return EXIT_TRY_AGAIN if outcome.reason is not None and outcome.reason.retriable else EXIT_FAILED


def clear_message(path: Path) -> None:
    """Empty the termination message: a run that is killed must not end with the outcome of the one before it."""
    try:
        os.truncate(path, 0)
    except OSError as error:
        log.warning("can't empty the termination message %s: %s", path, error.strerror)


def write_outcome(outcome: Outcome, path: Path) -> None:
    """Write in place with one call: in a container the file is a mount, which a rename can't replace.

    Outside a container the path may not exist or not be writable: the outcome is then only logged.
    """
    message = outcome.to_message().encode()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError as error:
        log.warning("can't write the termination message to %s (%s): %s", path, error.strerror, message.decode())
        return
    try:
        while message:
            message = message[os.write(descriptor, message) :]
    finally:
        os.close(descriptor)
