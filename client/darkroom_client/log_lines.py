"""The lines of a log that arrives in pieces, over lost connections. Pure."""

import codecs
from collections.abc import Iterator


class LogLines:
    """Each line once, without its line feed. A log that is read again begins at its start: known lines are skipped."""

    def __init__(self) -> None:
        self._delivered = 0
        self.restart()

    def restart(self) -> None:
        """The connection was lost, and the log is read again."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._seen = 0

    def received(self, content: bytes) -> Iterator[str]:
        *lines, self._rest = (self._rest + self._decoder.decode(content)).split("\n")
        for line in lines:
            yield from self._next(line)

    def ended(self) -> Iterator[str]:
        """A last line without a line feed."""
        rest = self._rest + self._decoder.decode(b"", final=True)
        self._rest = ""
        if rest:
            yield from self._next(rest)

    def _next(self, line: str) -> Iterator[str]:
        self._seen += 1
        if self._seen > self._delivered:
            self._delivered = self._seen
            yield line
