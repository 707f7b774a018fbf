"""A runner's pod with warm hand-over, from outside: what the operator does with it, without an operator."""

import secrets
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from darkroom_contract import environment as names
from darkroom_contract.handover import (
    ACKNOWLEDGED_FILE,
    RUN_FILE,
    STREAM_FIELD,
    SignedOutcome,
    outcome_stream,
    run_key,
)
from darkroom_contract.outcome import Outcome
from support.handover_volume import HandoverVolume
from support.runner_processes import SDXL_NAME, Run, write_document
from support.waiting import waiter

wait_until = waiter(60.0)
Spec = Any
"""Of a TrainJob or a GenerateJob."""


class WarmPod:
    """One process with its volume and its key."""

    def __init__(self, start_run: Callable[..., Run], folder: Path, redis_url: str) -> None:
        self._start_run = start_run
        self.volume = HandoverVolume(folder / f"handover-{uuid.uuid4().hex}")
        self.key = secrets.token_hex(32)
        self._redis = redis.Redis.from_url(redis_url)
        self._run: Run | None = None

    @property
    def run(self) -> Run:
        assert self._run is not None, "start the pod first"
        return self._run

    @property
    def log(self) -> str:
        return self.run.log.read_text()

    @property
    def message(self) -> Outcome | None:
        return Outcome.from_message(self.run.message.read_text())

    def start(self, spec: Spec, uid: str | None = None, **options: Any) -> str:
        """Start the process with its first run; returns the uid of the job."""
        environment = {
            names.WARM_SECONDS: "60",
            names.OUTCOME_KEY: self.key,
            names.HANDOVER_DIR: str(self.volume.folder),
            **options,
        }
        self._run = self._start_run(spec, uid, **environment)
        return self._run.uid

    def hand_over(self, spec: Spec, uid: str | None = None, attempt: int = 1) -> str:
        """Write the document of the next run; returns the uid of its job."""
        uid = uid or str(uuid.uuid4())
        self.volume.write(RUN_FILE, write_document(spec, uid, SDXL_NAME, attempt))
        return uid

    def published(self, uid: str) -> list[SignedOutcome]:
        """All outcomes of a job that were published with this pod's signature."""
        texts = [entry[STREAM_FIELD.encode()].decode() for _, entry in self._redis.xrange(outcome_stream(uid))]
        found = [SignedOutcome.verify(text, self.key) for text in texts]
        return [each for each in found if each is not None]

    def outcome(self, uid: str, acknowledge: bool = True) -> Outcome:
        """Wait for the outcome of a run of the pod, and acknowledge it."""

        def arrived() -> list[SignedOutcome]:
            assert self.run.process.poll() is None, self.log
            return self.published(uid)

        signed = wait_until(arrived, f"the outcome of {uid}")[0]
        if acknowledge:
            self.acknowledge(uid, signed.attempt)
        outcome: Outcome = signed.outcome
        return outcome

    def acknowledge(self, uid: str, attempt: int = 1) -> None:
        self.volume.write(ACKNOWLEDGED_FILE, run_key(uid, attempt))

    def carry_out(self, spec: Spec, **options: Any) -> Outcome:
        """Hand over a run and wait until it has ended."""
        return self.outcome(self.hand_over(spec, **options))

    def close(self) -> None:
        self._redis.close()
