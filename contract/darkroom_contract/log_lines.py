"""Log lines that untrusted text can't forge. Every program sets up logging here; standard library only.

Prompts, paths, file names and exceptions that quote them are untrusted. A line break in one would start a forged line,
an escape sequence would control the reader's terminal, and a bidirectional control would reorder a line
(https://trojansource.codes). So one record is one line, with such characters escaped; a traceback follows on lines of
its own, each with a prefix that no record starts with.
"""

import logging
import re
import sys
from types import TracebackType

CONTINUATION = "    | "
"""In front of each line of a traceback."""

_CONTROLS = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 and C1: line breaks, and the escape that begins a terminal's commands.
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # Line breaks of Unicode, bidirectional controls.
    "\ud800-\udfff"  # Lone surrogates, which no stream can encode.
    "]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def escape_controls(text: str, keep: str = "") -> str:
    """The text with control characters written as `\\n`, `\\x1b` or `\\u202e`, except those in `keep`."""
    return _CONTROLS.sub(lambda found: _escaped(found[0], keep), text)


def _escaped(character: str, keep: str) -> str:
    if character in keep:
        return character
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


class LineFormatter(logging.Formatter):
    """Formats a record as one line, and its traceback as prefixed lines after it."""

    def format(self, record: logging.LogRecord) -> str:
        # Python keeps a formatted traceback for the next handler, whose form may be another.
        kept, record.exc_text = record.exc_text, None
        try:
            return super().format(record)
        finally:
            record.exc_text = kept

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name of logging)
        # Some libraries end a message with a line break, which would show as an escape.
        record.message = record.message.rstrip("\r\n")
        return escape_controls(super().formatMessage(record))

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802
        return _marked(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _marked(super().formatStack(stack_info))


def _marked(text: str) -> str:
    return "\n".join(CONTINUATION + escape_controls(line) for line in text.split("\n"))


def set_up_log(format_: str, level: int = logging.INFO, *filters: logging.Filter) -> None:
    """Send every logger's records, and Python's warnings, to standard error as such lines; replaces earlier handlers.

    `format_` is of logging's percent style. The filters see each record before it is formatted.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(format_))
    for each in filters:
        handler.addFilter(each)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
