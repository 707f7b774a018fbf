"""The process that does a run's work, started by `main`, which keeps its log.

It turns whatever happens into an outcome, a termination message and an exit code; the run itself is in `lifecycle`.
"""

import logging
import os
import sys
from pathlib import Path

from darkroom_contract.log_lines import set_up_log
from darkroom_contract.outcome import Outcome
from darkroom_runner.errors import InternalError, RunError, translate
from darkroom_runner.interruption import Interruption
from darkroom_runner.settings import Settings, termination_message_path
from darkroom_runner.termination import exit_code, write_outcome

log = logging.getLogger("darkroom_runner")


def main() -> None:
    set_up_log("%(asctime)s %(levelname)s %(message)s")
    # They tell of every credential that they find and of every request.
    for library in ("botocore", "httpx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    interruption = Interruption()
    interruption.listen()
    sys.exit(conclude(finish(interruption), termination_message_path(os.environ)))


def finish(interruption: Interruption) -> Outcome:
    """The outcome of the run, however it ended."""
    try:
        # boto3 takes a while to import; a signal that comes meanwhile must find its handler.
        from darkroom_runner import lifecycle

        outcome = lifecycle.run(Settings.from_environment(os.environ), interruption)
    except Exception as error:
        # The border of the process: every failure becomes an outcome.
        failure = translate(error)
        log.error("%s: %s", failure.reason, failure, exc_info=isinstance(failure, InternalError))
        return _failed(failure)
    log.info("succeeded with %d files", len(outcome.files))
    return outcome


def conclude(outcome: Outcome, path: Path) -> int:
    """Write the termination message, whatever is in the outcome; returns the exit code."""
    try:
        write_outcome(outcome, path)
    except Exception as error:
        log.exception("the outcome can't be written")
        outcome = _failed(translate(error))
        write_outcome(outcome, path)
    return exit_code(outcome)


def _failed(failure: RunError) -> Outcome:
    return Outcome(
        succeeded=False,
        reason=failure.reason,
        message=str(failure),
        saved_step=failure.saved_step,
        remarks=failure.remarks,
    )


if __name__ == "__main__":
    main()
