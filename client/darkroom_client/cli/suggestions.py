"""A parser whose errors are short, name what is wanted, and suggest the nearest command or option."""

import re
from argparse import Action, ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from darkroom_client.errors import InputError

SYNONYMS = {
    "list": "jobs",
    "ls": "jobs",
    "ps": "jobs",
    "status": "job",
    "show": "job",
    "stop": "cancel",
    "delete": "rm",
    "remove": "rm",
    "draw": "generate",
    "save": "download",
    "start": "up",
}
"""Commands by what other tools call them."""

MIN_RESEMBLANCE = 0.6


class UsageError(InputError):
    """Words of the command line that the parser does not take."""

    reason = "WrongUsage"

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class SuggestingParser(ArgumentParser):
    """Raises `UsageError`s. `more_commands` are the names of commands that it does not parse."""

    more_commands: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Nothing stays unknown: the outer parser would not know whose option it was."""
        if self._subparsers is not None:
            self._refuse_unknown_before_command(args or ())
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            raise self._unknown(unknown[0])
        return found, unknown

    def _refuse_unknown_before_command(self, words: Sequence[str]) -> None:
        """An option that argparse does not know would have its value taken for the command."""
        rest = iter(words)
        for word in rest:
            if not word.startswith("-") or word == "--":
                return
            action = self._option_string_actions.get(word.partition("=")[0])
            if action is None:
                raise self._unknown(word)
            if action.nargs is None and "=" not in word:
                next(rest, None)

    def error(self, message: str) -> NoReturn:
        required = message.partition("are required: ")[2]
        text = f"{self._command} needs {required}" if required else _in_plain_words(message)
        raise UsageError(text if text.endswith("?") else f"{text.rstrip('.')}.", self._help())

    def _check_value(self, action: Action, value: Any) -> None:
        if isinstance(action, _SubParsersAction) and value not in action.choices:
            names = [*action.choices, *self.more_commands]
            suggested = nearest(str(value), names) or (SYNONYMS.get(str(value)) if self.more_commands else None)
            advice = self._help() if suggested or self.more_commands else f"It has: {', '.join(names)}."
            raise UsageError(f"{self._has} no command {value}.{did_you_mean(suggested)}", advice)
        if action.choices is not None and value not in action.choices:
            self.error(f"{action.metavar or action.dest}: {value!r} is none of {', '.join(action.choices)}")

    def _unknown(self, word: str) -> UsageError:
        name = word.partition("=")[0]
        if not name.startswith("-"):
            text = f"{self._command} takes no further argument {word}. Put a text of several words in quotes."
            return UsageError(text, self._help())
        suggested = nearest(name, [each for each in self._option_string_actions if each.startswith("--")])
        return UsageError(f"{self._has} no option {name}.{did_you_mean(suggested)}", self._help())

    @property
    def _has(self) -> str:
        """Messages begin with the program's name already."""
        return f"{self._command} has" if " " in self.prog else "There is"

    @property
    def _command(self) -> str:
        return self.prog.partition(" ")[2] or self.prog

    def _help(self) -> str:
        return f"See: {self.prog} --help"


_PLAIN_WORDS = (
    (re.compile(r"^argument ([^ /:]+)[^ :]*"), r"\1"),
    (re.compile(r": not allowed with argument ([^ /]+)\S*$"), r" can't be used together with \1"),
    (re.compile(r": expected (?:one|at least one) argument$"), " needs a value"),
)
"""What argparse says, and what is said instead."""


def _in_plain_words(message: str) -> str:
    """Options by their long name."""
    for pattern, words in _PLAIN_WORDS:
        message = pattern.sub(words, message)
    return message


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that resembles the word most, if one does."""
    return next(iter(get_close_matches(word, list(names), n=1, cutoff=MIN_RESEMBLANCE)), None)


def did_you_mean(name: str | None) -> str:
    return "" if name is None else f" Did you mean {name}?"
