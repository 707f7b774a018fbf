"""The runner's side of a hand-over: reads the next run document and the acknowledgement, which the operator writes.

Both are files of a downward API volume, see `darkroom_contract.handover`. A run is carried out at most once: `Handover`
remembers those that it has returned.
"""

import time
from collections.abc import Callable
from pathlib import Path

from darkroom_contract.handover import (
    ACKNOWLEDGE_SECONDS,
    ACKNOWLEDGED_FILE,
    PUBLISH_SECONDS,
    RUN_FILE,
    run_key,
)
from darkroom_contract.runs import RunDocument
from darkroom_runner.run.stop_signal import StopSignal

POLL_SECONDS = 0.02
"""The kubelet replaces the volume's files by renaming a symbolic link: the files themselves don't change."""


class RefusedRunError(Exception):
    """A run document that this process must not carry out. It must end: the operator then starts another."""


class Handover:
    """The files, and the runs of this process so far."""

    def __init__(self, folder: Path, first: RunDocument, stop_signal: StopSignal) -> None:
        self._folder = folder
        self._namespace = first.namespace
        self._stop_signal = stop_signal
        self._runs = {run_key(first.uid, first.attempt)}
        self._seen = ""
        """The run document that was read last."""

    def wait_for_acknowledgement(self, key: str, publish: Callable[[], None]) -> bool:
        """Publish now and every `PUBLISH_SECONDS` until the run `key` is acknowledged. False: it was not in time."""
        begin, published = time.monotonic(), float("-inf")
        while not self._stop_signal.requested:
            if self._read(ACKNOWLEDGED_FILE).strip() == key:
                return True
            now = time.monotonic()
            if now - begin >= ACKNOWLEDGE_SECONDS:
                return False
            if now - published >= PUBLISH_SECONDS:
                publish()
                published = time.monotonic()
            time.sleep(POLL_SECONDS)
        return False

    def wait_for_run(self, seconds: float) -> tuple[RunDocument, str] | None:
        """The next run document, parsed and as text; None after this time, and once a stop was requested.

        Raises `RefusedRunError`.
        """
        begin = time.monotonic()
        while not self._stop_signal.requested:
            is_last = time.monotonic() - begin >= seconds
            if (found := self._next_run()) is not None:
                return found
            if is_last:
                return None
            time.sleep(POLL_SECONDS)
        return None

    def _next_run(self) -> tuple[RunDocument, str] | None:
        text = self._read(RUN_FILE)
        if not text.strip() or text == self._seen:
            return None
        self._seen = text
        try:
            document = RunDocument.from_json(text)
        except ValueError as error:
            raise RefusedRunError(f"the run document that was handed over is invalid: {error}") from error
        if document.namespace != self._namespace:
            raise RefusedRunError(
                f"the run document that was handed over is for namespace {document.namespace!r}; this pod is in "
                f"{self._namespace!r}"
            )
        key = run_key(document.uid, document.attempt)
        if key in self._runs:
            return None
        self._runs.add(key)
        return document, text

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text(encoding="utf-8")
        except OSError:
            return ""
