"""The runner process in a simulated pod: carries out the run documents that it is given, one after the other."""

import json
from dataclasses import dataclass, field
from typing import Any

from darkroom_contract import environment
from darkroom_contract.handover import ANNOTATION_ACKNOWLEDGED, ANNOTATION_RUN, SignedOutcome, run_key
from darkroom_contract.outcome import Outcome

Json = dict[str, Any]
Run = tuple[str, int]
"""Uid of the job, and attempt."""


@dataclass
class SimulatedRunner:
    """One process. It has a run, waits for an acknowledgement, or is idle."""

    key: str | None
    """Of its outcomes; None for a process that ends with its run."""
    begun: list[Run] = field(default_factory=list)
    is_running: bool = False
    is_idle: bool = False
    last: Outcome | None = None

    @classmethod
    def start(cls, pod: Json) -> "SimulatedRunner":
        """With the run document in the pod's environment."""
        variables = {each["name"]: each.get("value", "") for each in pod["spec"]["containers"][0]["env"]}
        runner = cls(variables.get(environment.OUTCOME_KEY))
        runner._begin(_run_of(variables[environment.RUN].replace("$$", "$")))
        return runner

    @property
    def run(self) -> Run:
        """The present or last run."""
        return self.begun[-1]

    def _begin(self, run: Run) -> None:
        self.begun.append(run)
        self.is_running, self.is_idle = True, False

    def outcome(self, outcome: Outcome) -> Outcome:
        """As its termination message has it."""
        if self.key is None:
            return outcome
        uid, attempt = self.run
        return outcome.model_copy(update={"job_uid": uid, "attempt": attempt})

    def report(self, outcome: Outcome) -> str:
        """The signed outcome of the present run; the process waits from then on."""
        assert self.key is not None
        assert self.is_running
        self.is_running, self.last = False, self.outcome(outcome)
        return SignedOutcome.sign(*self.run, self.last, self.key).to_json()

    def next_run(self, pod: Json) -> Run | None:
        """The run that the pod's annotation gives it, unless it was begun already."""
        text = (pod["metadata"].get("annotations") or {}).get(ANNOTATION_RUN)
        run = None if text is None else _run_of(text)
        return None if run in self.begun else run

    def poll(self, pod: Json) -> None:
        """Read the files of the hand-over volume."""
        acknowledged = (pod["metadata"].get("annotations") or {}).get(ANNOTATION_ACKNOWLEDGED)
        if not self.is_running and acknowledged == run_key(*self.run):
            self.is_idle = True
        if self.is_idle and (run := self.next_run(pod)) is not None:
            self._begin(run)


def _run_of(document: str) -> Run:
    read = json.loads(document)
    return read["uid"], read["attempt"]
