"""Uploads a run's output to object storage every few seconds and at its end, even if the run was killed.

`main` adds the output. There is one object per run, which each upload overwrites. If storage fails, a warning is
printed once and the run continues without its log.
"""

import codecs
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from darkroom_contract import environment as names
from darkroom_contract.log_lines import escape_controls
from darkroom_contract.run_log_text import HEAD_BYTES, TAIL_BYTES, join_log
from darkroom_contract.runs import RunDocument
from darkroom_contract.storage.keys import run_log_key
from darkroom_runner.errors import RunError

if TYPE_CHECKING:
    from darkroom_runner.run.storage import Storage

EVERY_SECONDS = 5.0
CLOSE_SECONDS = 8.0
"""Time for the last upload: shorter than a pod's termination grace period."""
CONTENT_TYPE = "text/plain; charset=utf-8"

Upload = Callable[[bytes], None]


class ControlCharacterEscaper:
    """Escapes control characters, except line breaks and tabs, in chunks of UTF-8 text.

    Our own log records are escaped when they are formatted. This handles everything else on the process's output, such
    as a library's `print` or a crashing interpreter. Bytes that are not UTF-8 become `\\xff`.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def __call__(self, chunk: bytes) -> bytes:
        return escape_controls(self._decoder.decode(chunk), keep="\n\t").encode()


class HeadAndTail:
    """Keeps the beginning and the end of a text of any length."""

    def __init__(self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._head_bytes, self._tail_bytes = head_bytes, tail_bytes
        self._head, self._tail = bytearray(), bytearray()
        self._omitted = 0

    def add(self, chunk: bytes) -> None:
        free = self._head_bytes - len(self._head)
        self._head += chunk[:free]
        self._tail += chunk[free:]
        excess = len(self._tail) - self._tail_bytes
        if excess > 0:
            del self._tail[:excess]
            self._omitted += excess

    def text(self) -> bytes:
        return join_log(bytes(self._head), self._omitted, bytes(self._tail))


class RunLog:
    """The kept output, and the thread that uploads it."""

    def __init__(self, connect: Callable[[], Upload], every_seconds: float = EVERY_SECONDS) -> None:
        self._connect = connect
        self._every_seconds = every_seconds
        self._text = HeadAndTail()
        self._lock = threading.Lock()
        self._changed = False
        self._warned = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="run-log", daemon=True)
        self._thread.start()

    def add(self, chunk: bytes) -> None:
        with self._lock:
            self._text.add(chunk)
            self._changed = True

    def close(self) -> None:
        """Upload the rest, within `CLOSE_SECONDS` or not at all."""
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        upload: Upload | None = None
        while True:
            last = self._closing.is_set()
            try:
                upload = upload or self._connect()
                self._upload_if_changed(upload)
                self._warned = False
            except (RunError, ValueError, OSError) as error:
                self._warn(error)
            if last:
                return
            self._closing.wait(self._every_seconds)

    def _upload_if_changed(self, upload: Upload) -> None:
        with self._lock:
            body = self._text.text() if self._changed else None
            self._changed = False
        if body is None:
            return
        try:
            upload(body)
        except BaseException:
            with self._lock:
                self._changed = True
            raise

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            sys.stderr.write(f"can't upload the run's log to object storage: {error}\n")
            sys.stderr.flush()
        self._warned = True


class RunLogs:
    """The logs of a worker's runs, one at a time. What is printed between two runs is in neither log."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._current: RunLog | None = self._open_first()

    def add(self, chunk: bytes) -> None:
        if self._current is not None:
            self._current.add(chunk)

    def finish(self) -> None:
        """Upload the rest of the current log, if there is one, as `RunLog.close` does."""
        if self._current is not None:
            self._current.close()
        self._current = None

    def start(self, uid: str, attempt: int) -> None:
        """Begin the log of a run."""
        self.finish()
        self._current = self._run_log(uid, attempt)

    def _open_first(self) -> RunLog:
        """Of the run in the environment. An invalid run document is not reported here, since the worker does it."""
        try:
            document = RunDocument.from_json(self._environment.get(names.RUN) or "")
        except ValueError:  # Includes pydantic's ValidationError.
            return RunLog(lambda: _discard)
        return self._run_log(document.uid, document.attempt)

    def _run_log(self, uid: str, attempt: int) -> RunLog:
        return RunLog(lambda: self._upload(uid, attempt))

    def _upload(self, uid: str, attempt: int) -> Upload:
        key = run_log_key(uid, attempt)
        return lambda body: self._storage.write(key, body, CONTENT_TYPE)

    @cached_property
    def _storage(self) -> "Storage":
        # Importing boto3 takes a while; the worker is already running by then.
        from darkroom_runner.run.storage import Storage
        from darkroom_runner.settings import Settings

        logging.getLogger("botocore").setLevel(logging.WARNING)
        return Storage(Settings.from_environment(self._environment))


def _discard(body: bytes) -> None:
    """Discard the log."""
