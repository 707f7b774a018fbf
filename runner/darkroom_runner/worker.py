"""The process that does the work of runs. `main` starts it and uploads its output.

It turns every result and every exception into an outcome, a termination message and an exit code. The run itself is in
`lifecycle`; the runs after the first one, if the process waits for any, are in `warm_runs`.
"""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom_contract.log_lines import set_up_log
from darkroom_contract.outcome import Outcome
from darkroom_contract.runs import RunDocument
from darkroom_contract.tracing.tracing import is_wanted
from darkroom_runner.errors import InternalError, RunError, translate
from darkroom_runner.run.optional_libraries import hide_opentelemetry
from darkroom_runner.run.start_clock import StartClock, StartPart
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.run.termination import EXIT_SUCCEEDED, exit_code, write_outcome
from darkroom_runner.settings import termination_message_path

if TYPE_CHECKING:
    from darkroom_runner.lifecycle import Services

log = logging.getLogger("darkroom_runner")


def main() -> None:
    set_up_log("%(asctime)s %(levelname)s %(message)s")
    # At INFO they log every credential lookup and every request.
    for library in ("botocore", "httpx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    if not is_wanted(os.environ):
        hide_opentelemetry()
    stop_signal = StopSignal()
    stop_signal.listen()
    start = StartClock.of_container()
    start.end(StartPart.INTERPRETER)
    worker = Worker(stop_signal, termination_message_path(os.environ), start)
    outcome, code = worker.execute()
    if code == EXIT_SUCCEEDED and worker.stays_warm:
        code = worker.serve(outcome)
        worker.close()
        # Past the interpreter's own end, which takes torch up to a second: somebody may be waiting for this process.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    worker.close()
    sys.exit(code)


class Worker:
    """Executes runs one after another. Each leaves its outcome in the termination message."""

    def __init__(self, stop_signal: StopSignal, message_path: Path, start: StartClock | None = None) -> None:
        self._stop_signal = stop_signal
        self._start = start
        """The clock of the first run, which began before this process."""
        self._message_path = message_path
        self._services: Services | None = None
        """Set by the first run."""

    @property
    def stays_warm(self) -> bool:
        return self._services is not None and self._services.settings.stays_warm

    def close(self) -> None:
        """Send the spans of the runs, if they are traced."""
        if self._services is not None:
            self._services.tracing.close()

    def execute(self, text: str | None = None) -> tuple[Outcome, int]:
        """Execute the run of a document, by default that of the environment. Returns its outcome and exit code."""
        outcome = self._outcome(text)
        return outcome, report(outcome, self._message_path)

    def serve(self, outcome: Outcome) -> int:
        """Execute the runs that are handed over after one with this outcome; returns the exit code of the process."""
        from darkroom_runner.warm_runs import WarmRuns

        if self._services is None:
            raise RuntimeError("serve() was called before execute()")
        return WarmRuns(self._services, self.execute, self._message_path).serve(outcome)

    def _outcome(self, text: str | None) -> Outcome:
        try:
            # Importing boto3 takes a while; a signal during the import must find its handler installed.
            from darkroom_runner import lifecycle

            start, self._start = self._start or StartClock(), None
            start.end(StartPart.IMPORTS)
            self._services = self._services or lifecycle.open_services(os.environ, self._stop_signal)
            text = self._services.settings.run if text is None else text
            outcome = lifecycle.run(text, self._services, start)
        except Exception as error:
            # The process boundary: every exception becomes an outcome.
            failure = translate(error)
            log.error("%s: %s", failure.reason, failure, exc_info=isinstance(failure, InternalError))
            return _of_run(_failed(failure), text)
        log.info("succeeded with %d files", len(outcome.files))
        return _of_run(outcome, text)


def report(outcome: Outcome, path: Path) -> int:
    """Write the termination message and return the exit code. An outcome that can't be written becomes a failed one."""
    try:
        write_outcome(outcome, path)
    except Exception as error:
        log.exception("can't write the outcome")
        ids = {"job_uid": outcome.job_uid, "attempt": outcome.attempt}
        outcome = _failed(translate(error)).model_copy(update=ids)
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


def _of_run(outcome: Outcome, text: str | None) -> Outcome:
    """The outcome with the job and the attempt of a valid run document."""
    try:
        document = RunDocument.from_json(text or "")
    except ValueError:
        return outcome
    return outcome.model_copy(update={"job_uid": document.uid, "attempt": document.attempt})


if __name__ == "__main__":
    main()
