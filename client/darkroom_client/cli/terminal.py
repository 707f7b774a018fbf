"""What the commands print: results on stdout, messages and progress on stderr.

JSON is printed in ASCII: readable in every locale, and without control characters for a terminal.
"""

import io
import json
import os
import shlex
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from darkroom_client.cli.wording import Wording, wording_for
from darkroom_client.errors import DarkroomError, FieldProblem, GatewayError, InvalidSpecError, JobFailedError

MIN_LAST_COLUMN = 10
"""Characters of the last column of a table in a narrow terminal."""


def printable(text: str) -> str:
    """Without control characters, by which a prompt or a log could take over the terminal. Tabs and line feeds stay."""
    return "".join(
        each if each in "\t\n" or unicodedata.category(each)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for each in text
    )


def print_unknown_characters_as_question_marks() -> None:
    """Where the locale has no UTF-8, stdout raises errors for most characters by default."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


class Terminal:
    """The output of one command."""

    def __init__(self, *, as_json: bool = False, gateway: str | None = None, wording: Wording | None = None) -> None:
        """`gateway`: that of the option, which the commands that are proposed need too."""
        self.as_json = as_json
        self.wording = wording or Wording()
        self._gateway = gateway

    def command(self, *words: str) -> str:
        """A command for a person to copy."""
        return shlex.join(["darkroom", *words, *(("--gateway", self._gateway) if self._gateway else ())])

    @property
    def is_interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty() and not self.as_json

    @property
    def has_bars(self) -> bool:
        """Whether the cursor can be moved."""
        return sys.stderr.isatty() and not self.as_json and os.environ.get("TERM") not in ("dumb", "unknown")

    def result(self, text: str) -> None:
        """A line for people or for a pipe. Not with --json."""
        if not self.as_json:
            print(printable(text), flush=True)

    def done(self, value: str, sentence: str) -> None:
        """What a command has changed: the name for scripts on stdout, a sentence for people on stderr.

        In a terminal, where both would be seen, the sentence is enough.
        """
        if self.as_json:
            return
        if not (sys.stdout.isatty() and sys.stderr.isatty()):
            self.result(value)
        self.note(sentence)

    def saved(self, path: str) -> None:
        """A file on this machine: its path for scripts, a sentence for a person at a terminal."""
        if self.as_json:
            return
        if not (sys.stdout.isatty() and sys.stderr.isatty()):
            self.result(path)
        if sys.stderr.isatty():
            self.note(f"Saved {path}")

    def raw(self, line: str) -> None:
        """A line of a log: unchanged in a pipe."""
        print(printable(line) if sys.stdout.isatty() else line, flush=True)

    def document(self, value: Any) -> None:
        """The one JSON document of a command."""
        if self.as_json:
            print(json.dumps(as_data(value), indent=2), flush=True)

    def record(self, **values: Any) -> None:
        """One line of NDJSON."""
        if self.as_json:
            print(json.dumps(as_data(values)), flush=True)

    def note(self, text: str) -> None:
        """For people. With --json a line of JSON, like everything on stderr."""
        line = json.dumps({"note": text}) if self.as_json else printable(text)
        print(line, file=sys.stderr, flush=True)

    def error(self, error: DarkroomError, exit_code: int) -> None:
        fields = error.errors if isinstance(error, GatewayError | InvalidSpecError) else ()
        advice = error.advice or self._where_to_look(error)
        if self.as_json:
            document = {
                "reason": error.reason,
                "message": str(error),
                "advice": advice,
                "errors": [vars(each) for each in fields],
                "exit_code": exit_code,
            }
            print(json.dumps({"error": document}), file=sys.stderr, flush=True)
            return
        if isinstance(error, JobFailedError) and not self.wording.options:
            self.wording = wording_for(error.job.kind)
        self.note(f"darkroom: {self._headline(error, fields)}")
        if len(fields) > 1:
            for each in fields:
                self.note(f"  {self.wording.problem(each)}")
        if advice:
            self.note(f"  {self.wording.text(advice)}")

    def _where_to_look(self, error: DarkroomError) -> str | None:
        """For a name that the gateway does not know."""
        listing = {"UnknownTask": "jobs", "UnknownModel": "models"}.get(error.reason)
        is_listed = any(words in str(error) for words in ("Known models: ", "Use one of: ", "Its saved steps are "))
        return None if listing is None or is_listed else f"List the {listing} with: {self.command(listing)}"

    def _headline(self, error: DarkroomError, fields: Sequence[FieldProblem]) -> str:
        """The lines of several fields follow it: the gateway's text begins with the first three of them, and may add
        what is not in the list, such as how many there are in all."""
        detail = str(error)
        if isinstance(error, InvalidSpecError) and len(fields) > 1:
            return f"This can't be sent, for {len(fields)} reasons:"
        if len(fields) > 1 and all(each.message in detail for each in fields[:3]):
            more = detail.rpartition(fields[:3][-1].message)[2].strip()
            reasons = f"The gateway refuses this, for {len(fields)} reasons:"
            return f"The gateway refuses this. {self.wording.text(more)}" if more else reasons
        if len(fields) == 1 and detail == str(fields[0]):
            return self.wording.problem(fields[0])
        return self.wording.text(detail)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Fitted to a terminal; in a pipe aligned by spaces and complete."""
        if self.as_json:
            return
        clean = [[" ".join(printable(cell).split()) for cell in row] for row in rows]
        if sys.stdout.isatty():
            _print_rich_table(headings, clean)
            return
        widths = [max(len(cell) for cell in column) for column in zip(headings, *clean, strict=True)]
        for row in (headings, *clean):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print(line.rstrip(), flush=True)


def as_data(value: Any) -> Any:
    """Plain data of answers, with all their fields."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {name: as_data(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _print_rich_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    headings, rows = _fitting(headings, rows, console.width)
    columns = list(zip(headings, *rows, strict=True))
    # The last column, usually the prompt, gives way to the others.
    left = console.width - sum(max(map(cell_len, column)) + 2 for column in columns[:-1])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        cells = [Text(cell) for cell in row]
        cells[-1].truncate(max(left, MIN_LAST_COLUMN), overflow="ellipsis")
        table.add_row(*cells)
    console.print(table)


def _fitting(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """As many columns as a narrow terminal can show. The last one may be shortened."""
    from rich.cells import cell_len

    columns = list(zip(headings, *rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    count = len(columns)
    while count > 1 and sum(widths[: count - 1]) + 2 * (count - 1) + min(widths[count - 1], MIN_LAST_COLUMN) > width:
        count -= 1
    return headings[:count], [row[:count] for row in rows]
