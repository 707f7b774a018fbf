"""The parser of this package's commands: its errors are as short as those of the client's, which this package may not
import."""

import re
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

USAGE_ERROR = 2


class CommandParser(ArgumentParser):
    """An error is one line that names the option and what it takes, and a line that says where the help is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # "--stat-dir" is a mistake, and would become ambiguous with another option.
        super().__init__(*arguments, **{"allow_abbrev": False, **options})

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Nothing stays unknown: the outer parser would not know whose option it was."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse_unknown(unknown[0].partition("=")[0])
        return found, unknown

    def error(self, message: str) -> NoReturn:
        text = re.sub(r"^argument ([^ :/]+)\S*:", r"\1:", message)
        text = re.sub(r": expected one argument$", " needs a value", text)
        text = re.sub(r"^the following arguments are required: ", f"{self._command} needs ", text)
        end = "" if text.endswith("?") else "."
        self.exit(USAGE_ERROR, f"darkroom: {text.rstrip('.')}{end}\n  See: {self.prog} --help\n")

    def _check_value(self, action: Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = next(iter(action.option_strings), action.metavar)
            self.error(f"{name}: {str(value)!r} is none of {', '.join(map(str, action.choices))}")

    def _refuse_unknown(self, name: str) -> NoReturn:
        if not name.startswith("-"):
            self.error(f"{self._command} takes no argument {name}")
        options = [each for each in self._option_string_actions if each.startswith("--")]
        similar = next(iter(get_close_matches(name, options, n=1)), None)
        self.error(f"{self._command} has no option {name}." + (f" Did you mean {similar}?" if similar else ""))

    @property
    def _command(self) -> str:
        return self.prog.partition(" ")[2] or self.prog


def path(text: str) -> Path:
    """An argparse type. An empty path would be the current folder: usually a variable of a script that is not set."""
    if not text:
        raise ArgumentTypeError("the path is empty. For this folder write a dot: .")
    return Path(text)


def file(text: str) -> Path:
    """An argparse type: the path of a file."""
    if not text:
        raise ArgumentTypeError("the path is empty. Give a file")
    return Path(text)
