"""The run's last word: the outcome in the container's termination message. Called by `main` alone."""

import logging
import os
from pathlib import Path

from darkroom_contract.outcome import Outcome, Reason

log = logging.getLogger(__name__)

EXIT_SUCCEEDED = 0
EXIT_FAILED = 1
EXIT_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: another try might end better."""
EXIT_INTERRUPTED = 143
"""128 + SIGTERM, as a shell says it."""


def exit_code(outcome: Outcome) -> int:
    if outcome.succeeded:
        return EXIT_SUCCEEDED
    if outcome.reason is Reason.INTERRUPTED:
        return EXIT_INTERRUPTED
    return EXIT_TRY_AGAIN if outcome.reason is not None and outcome.reason.retriable else EXIT_FAILED


def write_outcome(outcome: Outcome, path: Path) -> None:
    """Write in place, in one call: in a container the file is a mount of its own and can't be replaced by a rename.

    Outside a container there may be no such file and no right to make it: the outcome is then in the log only.
    """
    message = outcome.to_message().encode()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError as error:
        log.warning("no termination message at %s (%s): %s", path, error.strerror, message.decode())
        return
    try:
        os.write(descriptor, message)
    finally:
        os.close(descriptor)
