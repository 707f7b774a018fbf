"""What a run says, in object storage: while it works, a few seconds late, and after it has ended, however it ended.

`main` feeds it. One object a run, written anew when there is more; a storage in trouble is told once and costs the run
nothing but the log.
"""

import codecs
import logging
import sys
import threading
from collections.abc import Callable, Mapping

from darkroom_contract import environment as names
from darkroom_contract.log_lines import escape_controls
from darkroom_contract.runs import RunDocument
from darkroom_contract.storage import run_log_key
from darkroom_runner.errors import RunError

EVERY_SECONDS = 5.0
CLOSE_SECONDS = 8.0
"""For the last upload: less than a pod is given to end."""
HEAD_BYTES, TAIL_BYTES = 512 * 1024, 3 * 1024 * 1024
CONTENT_TYPE = "text/plain; charset=utf-8"

Upload = Callable[[bytes], None]


class Escaping:
    """Escapes control characters in UTF-8 text that comes in pieces, but for line breaks and tabs.

    Records of our own are escaped as they are formatted; this is for whatever else writes to the process's output, such
    as a library's `print` or an interpreter that crashes. Bytes that are no UTF-8 become `\\xff`.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def __call__(self, chunk: bytes) -> bytes:
        return escape_controls(self._decoder.decode(chunk), keep="\n\t").encode()


class Excerpt:
    """The first and the last of a text of any length."""

    def __init__(self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._head_bytes, self._tail_bytes = head_bytes, tail_bytes
        self._head, self._tail = bytearray(), bytearray()
        self._left_out = 0

    def add(self, chunk: bytes) -> None:
        room = self._head_bytes - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        excess = len(self._tail) - self._tail_bytes
        if excess > 0:
            del self._tail[:excess]
            self._left_out += excess

    def text(self) -> bytes:
        gap = f"\n... {self._left_out} bytes are left out ...\n".encode() if self._left_out else b""
        return bytes(self._head) + gap + bytes(self._tail)


class RunLog:
    """An excerpt, and the thread that uploads it."""

    def __init__(self, connect: Callable[[], Upload], every_seconds: float = EVERY_SECONDS) -> None:
        self._connect = connect
        self._every_seconds = every_seconds
        self._excerpt = Excerpt()
        self._lock = threading.Lock()
        self._changed = False
        self._warned = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="run-log", daemon=True)
        self._thread.start()

    def add(self, chunk: bytes) -> None:
        with self._lock:
            self._excerpt.add(chunk)
            self._changed = True

    def close(self) -> None:
        """Upload what is new, within a few seconds or not at all."""
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        upload: Upload | None = None
        while True:
            last = self._closing.is_set()
            try:
                upload = upload or self._connect()
                self._upload_news(upload)
                self._warned = False
            except (RunError, ValueError, OSError) as error:
                self._warn(error)
            if last:
                return
            self._closing.wait(self._every_seconds)

    def _upload_news(self, upload: Upload) -> None:
        with self._lock:
            body = self._excerpt.text() if self._changed else None
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
            sys.stderr.write(f"the run's log can't be kept in object storage: {error}\n")
            sys.stderr.flush()
        self._warned = True


def open_run_log(environment: Mapping[str, str]) -> RunLog:
    """The log of the run that the environment tells of. When that can't be read it is not kept: the work says why."""
    try:
        document = RunDocument.from_json(environment.get(names.RUN) or "")
    except ValueError:  # pydantic's ValidationError is one.
        return RunLog(lambda: _forget)

    def connect() -> Upload:
        # boto3 takes a while to import: meanwhile the work has begun.
        from darkroom_runner.settings import Settings
        from darkroom_runner.storage import Storage

        logging.getLogger("botocore").setLevel(logging.WARNING)
        storage = Storage(Settings.from_environment(environment))
        key = run_log_key(document.uid, document.attempt)
        return lambda body: storage.write(key, body, CONTENT_TYPE)

    return RunLog(connect)


def _forget(body: bytes) -> None:
    """Uploads nothing."""
