"""The process that does a run's work. `main` starts it and uploads its output.

It turns every result and every exception into an outcome, a termination message and an exit code. The run itself is in
`lifecycle`.
"""

import logging
import os
import sys
from pathlib import Path

from darkroom_contract.log_lines import set_up_log
from darkroom_contract.outcome import Outcome
from darkroom_runner.errors import InternalError, RunError, translate
from darkroom_runner.run.start_clock import StartClock, StartPart
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.run.termination import exit_code, write_outcome
from darkroom_runner.settings import Settings, termination_message_path

log = logging.getLogger("darkroom_runner")


def main() -> None:
    set_up_log("%(asctime)s %(levelname)s %(message)s")
    # At INFO they log every credential lookup and every request.
    for library in ("botocore", "httpx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    stop_signal = StopSignal()
    stop_signal.listen()
    start = StartClock.of_container()
    start.end(StartPart.INTERPRETER)
    sys.exit(report(execute(stop_signal, start), termination_message_path(os.environ)))


def execute(stop_signal: StopSignal, start: StartClock) -> Outcome:
    """Do the run; returns its outcome, whether it succeeded or failed."""
    try:
        # Importing boto3 takes a while; a signal during the import must find its handler installed.
        from darkroom_runner import lifecycle

        start.end(StartPart.IMPORTS)
        outcome = lifecycle.run(Settings.from_environment(os.environ), stop_signal, start)
    except Exception as error:
        # The process boundary: every exception becomes an outcome.
        failure = translate(error)
        log.error("%s: %s", failure.reason, failure, exc_info=isinstance(failure, InternalError))
        return _failed(failure)
    log.info("succeeded with %d files", len(outcome.files))
    return outcome


def report(outcome: Outcome, path: Path) -> int:
    """Write the termination message and return the exit code. An outcome that can't be written becomes a failed one."""
    try:
        write_outcome(outcome, path)
    except Exception as error:
        log.exception("can't write the outcome")
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
