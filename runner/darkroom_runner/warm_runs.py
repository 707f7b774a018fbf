"""The runs after the first one in the same process, with libraries and base model in memory. Called by `worker`.

After a run that ended well the process publishes its outcome, waits until the operator has acknowledged it, and then
for the next run document (`darkroom_contract.handover` describes the exchange). Nothing of a run reaches the next one:
`KeptPipelines` restores the models, `ProcessState` the rest. The process ends, with the last outcome in its termination
message, when

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
from darkroom_contract.outcome import Outcome
from darkroom_runner.lifecycle import Services, read_document
from darkroom_runner.run.fitness import Fitness
from darkroom_runner.run.handover import Handover, RefusedRunError
from darkroom_runner.run.log_channel import LogChannel
from darkroom_runner.run.outcome_stream import OutcomeStream
from darkroom_runner.run.termination import EXIT_SUCCEEDED, clear_message

log = logging.getLogger(__name__)

Execute = Callable[[str], tuple[Outcome, int]]
"""Executes the run of a document, leaves its termination message, and returns its outcome and exit code."""


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
            while code == EXIT_SUCCEEDED and (text := self._next(outcome)) is not None:
                outcome, code = self._execute(text)
        except Exception:
            # The last run ended well and its outcome is in the termination message: the job is not affected.
            log.exception("the process ends")
        return code

    def _next(self, outcome: Outcome) -> str | None:
        """The next run document, after the outcome of the last run is acknowledged. None: the process must end."""
        if (fault := self._fault()) is not None:
            log.info("the process ends: %s", fault)
            return None
        # The log of the run ends here: in storage before the outcome is published.
        self._logs.finish()
        if not self._hand_in(outcome):
            log.info("the process ends: its outcome was not acknowledged")
            return None
        return self._wait()

    def _fault(self) -> str | None:
        """Restore everything that the run has changed; why the process can't carry out another run, if so."""
        services, pipelines = self._services, self._services.pipelines
        if services.stop_signal.requested:
            return "a stop was requested"
        pipelines.restore()
        if (fault := services.process_state.restore()) is not None:
            return fault
        return self._fitness.fault(pipelines.bytes_on("cpu"), pipelines.bytes_on("cuda"))

    def _hand_in(self, outcome: Outcome) -> bool:
        if outcome.job_uid is None or outcome.attempt is None:
            return False
        signed = SignedOutcome.sign(outcome.job_uid, outcome.attempt, outcome, self._key)
        key = run_key(outcome.job_uid, outcome.attempt)
        return self._handover.wait_for_acknowledgement(key, partial(self._stream.publish, signed))

    def _wait(self) -> str | None:
        seconds = self._services.settings.warm_seconds
        log.info("waiting %g s for the next run", seconds)
        try:
            found = self._handover.wait_for_run(seconds)
        except RefusedRunError as error:
            log.error("the process ends: %s", error)
            return None
        if found is None:
            log.info("the process ends: %s", "SIGTERM" if self._services.stop_signal.requested else "no run came")
            return None
        document, text = found
        self._logs.start(document.uid, document.attempt)
        clear_message(self._message_path)
        return text
