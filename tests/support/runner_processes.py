"""Runs of `darkroom-runner` as processes, as a pod would start them."""

import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from darkroom_contract import environment as names
from darkroom_contract.outcome import Outcome
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_local.processes.parent_death import die_with_parent

SDXL_NAME, SVD_NAME = "test-sdxl", "test-svd"


@dataclass(frozen=True)
class Finished:
    """The result of a finished run."""

    exit_code: int
    outcome: Outcome
    log: str
    uid: str
    seconds: float


@dataclass
class Run:
    """A `darkroom-runner` process."""

    process: subprocess.Popen[bytes]
    message: Path
    log: Path
    uid: str
    begun: float

    def finish(self, seconds: float = 90.0) -> Finished:
        code = self.process.wait(seconds)
        outcome = Outcome.from_message(self.message.read_text()) if self.message.exists() else None
        log = self.log.read_text()
        assert outcome is not None, f"the run wrote no outcome:\n{log}"
        return Finished(code, outcome, log, self.uid, time.monotonic() - self.begun)


def write_document(
    spec: TrainJobSpec | GenerateJobSpec, uid: str, base_model: str, attempt: int, video_model: str = SVD_NAME
) -> str:
    training = isinstance(spec, TrainJobSpec)
    return RunDocument(
        namespace="default",
        name="a-job",
        uid=uid,
        attempt=attempt,
        base_model=base_model,
        video_base_model=video_model,
        train=spec if training else None,
        generate=None if training else spec,
    ).to_json()


class RunStarter:
    """Starts runs with their files in `folder`, an environment that they share, and a program."""

    def __init__(self, folder: Path, environment: dict[str, str], program: str) -> None:
        self._folder = folder
        self._environment = environment
        self._program = program
        self._started: list[Run] = []

    def start(
        self,
        spec: TrainJobSpec | GenerateJobSpec | str,
        uid: str | None = None,
        attempt: int = 1,
        base_model: str = SDXL_NAME,
        program: str | None = None,
        **environment: str,
    ) -> Run:
        uid, number = uid or str(uuid.uuid4()), len(self._started)
        message, log = self._folder / f"termination-{number}", self._folder / f"log-{number}"
        settings = {
            names.RUN: spec if isinstance(spec, str) else write_document(spec, uid, base_model, attempt),
            names.TERMINATION_MESSAGE_PATH: str(message),
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                die_with_parent([program or self._program]),
                env={**self._environment, **settings, **environment},
                stdout=output,
                stderr=output,
            )
        self._started.append(Run(process, message, log, uid, time.monotonic()))
        return self._started[-1]

    def kill_all(self) -> None:
        for run in self._started:
            run.process.kill()
            run.process.wait(10)
