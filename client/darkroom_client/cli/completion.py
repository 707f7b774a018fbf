"""Completion in bash, zsh and fish, by argcomplete: commands, options, and ids of jobs and models.

The shell runs `darkroom` itself at each Tab. Ids come from the gateway, with one short attempt.
"""

import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Callable

import argcomplete
from argcomplete.shell_integration import shellcode

from darkroom_client.cli.exit_codes import ExitCode
from darkroom_client.cli.parser import COMMANDS, make_parser
from darkroom_client.cli.plugins import MissingExtraError, find_plugin, plugin_names
from darkroom_client.cli.terminal import Terminal

MAX_PROPOSALS = 50


def complete(line: str) -> None:
    """Answers the shell and exits. `line` is the command line so far."""
    words = line.split()
    name = words[1] if len(words) > 1 else ""
    if name in plugin_names() and (len(words) > 2 or line.endswith(" ")):
        _complete_plugin(name)
    parser = make_parser()
    _attach(parser)
    argcomplete.autocomplete(parser, always_complete_options="long")


def print_script(options: Namespace, terminal: Terminal) -> int:
    print(shellcode(["darkroom"], shell=options.shell), flush=True)
    return ExitCode.DONE


def _complete_plugin(name: str) -> None:
    """Its own parser calls argcomplete, which exits."""
    try:
        plugin = find_plugin(name)
    except MissingExtraError:
        sys.exit(ExitCode.USAGE)
    if plugin is not None:
        plugin([name])


def _attach(parser: ArgumentParser) -> None:
    """Gives each argument the completer that parser.py named, and the commands of other packages to the first."""
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            if "train" in action.choices:
                for name in plugin_names():
                    if name not in COMMANDS:
                        action.add_parser(name)
            for each in action.choices.values():
                _attach(each)
        completer = getattr(action, "completer_name", None)
        if completer is not None:
            action.completer = _COMPLETERS[completer]  # type: ignore[attr-defined]


def job_ids(prefix: str, parsed_args: Namespace, **_: object) -> list[str]:
    from darkroom_client.cli.connection import HASTY, connect
    from darkroom_client.errors import DarkroomError

    try:
        with connect(parsed_args, retries=HASTY) as darkroom:
            return [job.id for job in darkroom.job_page(limit=MAX_PROPOSALS).jobs]
    except DarkroomError:
        return []


def model_ids(prefix: str, parsed_args: Namespace, **_: object) -> list[str]:
    from darkroom_client.cli.connection import HASTY, connect
    from darkroom_client.errors import DarkroomError

    try:
        with connect(parsed_args, retries=HASTY) as darkroom:
            return [model.model_id for model in darkroom.models()]
    except DarkroomError:
        return []


_COMPLETERS: dict[str, Callable[..., list[str]]] = {"job_ids": job_ids, "model_ids": model_ids}
