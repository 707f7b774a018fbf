"""The command `darkroom`: parses, dispatches, and turns errors into messages and exit codes."""

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from darkroom_client.cli.exit_codes import ExitCode, exit_code_of
from darkroom_client.cli.plugins import MissingExtraError, find_plugin, missing_extra
from darkroom_client.errors import ConfigurationError, DarkroomError, InputError

if TYPE_CHECKING:
    from darkroom_client.cli.terminal import Terminal


def main(arguments: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "_ARGCOMPLETE" in os.environ:
        from darkroom_client.cli.completion import complete

        complete(os.environ.get("COMP_LINE", ""))
        return
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        code = _plugin_or_command(words or ["--help"])
    except KeyboardInterrupt:  # Before the command has begun, or in one of another package.
        _terminal(words).note("darkroom: interrupted")
        code = ExitCode.INTERRUPTED
    sys.exit(code)


def _terminal(words: Sequence[str]) -> "Terminal":
    """For messages before the options are parsed."""
    from darkroom_client.cli.terminal import Terminal

    return Terminal(as_json="--json" in words)


def _plugin_or_command(words: list[str]) -> int:
    from darkroom_client.cli.parser import COMMANDS

    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        try:
            plugin = find_plugin(words[0])
        except MissingExtraError as error:
            _terminal(words).error(error, ExitCode.USAGE)
            return ExitCode.USAGE
        if plugin is not None:
            plugin(words)
            return ExitCode.DONE
    return run(words)


def run(words: Sequence[str]) -> int:
    """Runs a command of the client. Returns its exit code. `--help` raises `SystemExit`, as argparse does."""
    from darkroom_client.cli.parser import gateway_of, make_parser
    from darkroom_client.cli.suggestions import UsageError

    try:
        options = make_parser().parse_args(words)
    except UsageError as error:
        _terminal(words).error(error, ExitCode.USAGE)
        return ExitCode.USAGE
    try:
        from darkroom_client.cli.terminal import Terminal, print_unknown_characters_as_question_marks
        from darkroom_client.cli.wording import wording_of

        print_unknown_characters_as_question_marks()
        as_json = getattr(options, "json", False)
        terminal = Terminal(as_json=as_json, gateway=gateway_of(options), wording=wording_of(options))
        return _run_command(options, terminal)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("httpx", "httpx_sse", "rich", "argcomplete"):
            raise
        _terminal(words).error(missing_extra("The command line", "client"), ExitCode.USAGE)
        return ExitCode.USAGE


def _run_command(options: Namespace, terminal: "Terminal") -> int:
    module, function = options.command
    # httpx imports its own command line, with click and rich, where these are installed: half of our start-up time.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    command = getattr(importlib.import_module(f"darkroom_client.cli.{module}"), function)
    try:
        code: int = command(options, terminal)
        return code
    except DarkroomError as error:
        terminal.error(error, exit_code_of(error))
        return exit_code_of(error)
    except UnicodeEncodeError as error:
        fault = InputError(f"{error.object} is not text in UTF-8.")
        terminal.error(fault, ExitCode.USAGE)
        return ExitCode.USAGE
    except KeyboardInterrupt:
        terminal.note("darkroom: interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Python would report it once more when it flushes at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    except OSError as error:
        failure = ConfigurationError(f"{error.filename or 'A file'}: {error.strerror or error}.")
        terminal.error(failure, ExitCode.NOT_SAVED)
        return ExitCode.NOT_SAVED
