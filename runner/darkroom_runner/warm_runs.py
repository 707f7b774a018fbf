"""The runs after the first one in the same process, with libraries and base model in memory. Called by `worker`.

After a run that ended well the process publishes its outcome, waits until the operator has acknowledged it, and then
for the next run document (`darkroom_contract.handover` describes the exchange). Nothing of a run reaches the next one:
`KeptPipelines` restores the models, `ProcessState` the rest. The process ends, with the last outcome in its termination
message unless that is acknowledged, when

- a run fails or is stopped,
- the outcome is not acknowledged in time, for example without Redis,
- no run document comes within `DARKROOM_WARM_SECONDS`, or one that this process must not carry out,
- `Fitness` or `ProcessState` says that it can't carry out another run,
- SIGTERM arrives: at once while it waits.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from darkroom_contract.handover import SignedOutcome, run_key
from darkroom_contract.outcome import Outcome, Reason
from darkroom_runner.lifecycle import Services, read_document
from darkroom_runner.run.fitness import Fitness
from darkroom_runner.run.handover import Handover, RefusedRunError
from darkroom_runner.run.log_channel import LogChannel
from darkroom_runner.run.outcome_stream import OutcomeStream
from darkroom_runner.run.termination import EXIT_SUCCEEDED, EXIT_TRY_AGAIN, clear_message, write_outcome

log = logging.getLogger(__name__)

IDLE_MESSAGE = "The process waited for another run. The outcome of its last one is in the status of that run's job."

Execute = Callable[[str], tuple[Outcome, int]]
"""Executes the run of a document, leaves its termination message, and returns its outcome and exit code."""


class NoMoreRunsError(Exception):
    """The process must end. The message says why, as part of a sentence."""


class WarmRuns:
    """Waits for runs and has them executed."""

    def __init__(self, services: Services, execute: Execute, message_path: Path) -> None:
        settings = services.settings
        if settings.handover_dir is None or settings.redis_url is None or settings.outcome_key is None:
            raise RuntimeError("WarmRuns needs settings of a process that stays warm")
        self._services = services
        self._execute = execute
        self._message_path = message_path
        self._key = settings.outcome_key
        self._stream = OutcomeStream(settings.redis_url)
        self._logs = LogChannel()
        self._fitness = Fitness(settings.max_runs)
        self._handover = Handover(settings.handover_dir, read_document(settings.run), services.stop_signal)

    def serve(self, outcome: Outcome) -> int:
        """Returns the exit code of the process. `outcome` is that of the first run, which ended well."""
        code = EXIT_SUCCEEDED
        try:
            while code == EXIT_SUCCEEDED:
                text = self._next(outcome)
                code = EXIT_TRY_AGAIN  # If the outcome can't even be reported.
                outcome, code = self._execute(text)
        except (NoMoreRunsError, RefusedRunError) as end:
            log.info("the process ends: %s", "SIGTERM" if self._services.stop_signal.requested else end)
        except Exception:
            log.exception("the process ends")
        return code

    def _next(self, outcome: Outcome) -> str:
        """The next run document, once the outcome of the last run is acknowledged.

        Raises `NoMoreRunsError` or `RefusedRunError`.
        """
        self._restore()
        # The log of the run ends here: it is in storage before the outcome is published.
        self._logs.finish()
        self._hand_in(outcome)
        seconds = self._services.settings.warm_seconds
        log.info("waiting %g s for the next run", seconds)
        found = self._handover.wait_for_run(seconds)
        if found is None:
            raise NoMoreRunsError("no run document came")
        document, text = found
        self._logs.start(document.uid, document.attempt)
        clear_message(self._message_path)
        return text

    def _restore(self) -> None:
        """Restore everything that the run has changed. Raises `NoMoreRunsError` if that is not possible."""
        services, pipelines = self._services, self._services.pipelines
        if services.stop_signal.requested:
            raise NoMoreRunsError
        pipelines.restore()
        fault = services.process_state.restore()
        fault = fault or self._fitness.fault(pipelines.bytes_on("cpu"), pipelines.bytes_on("cuda"))
        if fault is not None:
            raise NoMoreRunsError(fault)

    def _hand_in(self, outcome: Outcome) -> None:
        """Publish the outcome until it is acknowledged. Raises `NoMoreRunsError` if that takes too long."""
        if outcome.job_uid is None or outcome.attempt is None:
            raise NoMoreRunsError("the outcome names no run")
        signed = SignedOutcome.sign(outcome.job_uid, outcome.attempt, outcome, self._key)
        key = run_key(outcome.job_uid, outcome.attempt)
        if not self._handover.wait_for_acknowledgement(key, partial(self._stream.publish, signed)):
            raise NoMoreRunsError("its outcome was not acknowledged")
        # An operator of an earlier release would take a success in the message for that of the job that it sees in the
        # pod, whichever run it names.
        idle = Outcome(succeeded=False, reason=Reason.INTERRUPTED, message=IDLE_MESSAGE)
        write_outcome(
            idle.model_copy(update={"job_uid": outcome.job_uid, "attempt": outcome.attempt}), self._message_path
        )
