"""The client of the commands."""

import contextlib
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace

from darkroom_client.cli.parser import gateway_of
from darkroom_client.cli.terminal import Terminal
from darkroom_client.errors import DarkroomError
from darkroom_client.retries import Retries
from darkroom_client.sync_client import Darkroom

PATIENT = Retries(attempts=4, longest_seconds=2.0)
"""A person waits for an answer: a gateway that refuses connections is reported after three seconds."""

HASTY = Retries(attempts=1)
"""For completion."""

ANNOUNCED_SECONDS = 3.0
"""Shorter pauses before another attempt are not announced."""


def connect(options: Namespace, terminal: Terminal | None = None, retries: Retries = PATIENT) -> Darkroom:
    """Long pauses, such as those that a full queue asks for, are announced in the terminal."""

    def announce(failure: DarkroomError, seconds: float) -> None:
        if terminal is not None and seconds >= ANNOUNCED_SECONDS:
            terminal.note(f"{terminal.wording.text(str(failure))}\nTrying again in {seconds:.0f} s. Ctrl-C ends it.")

    return Darkroom(gateway_of(options), retries=replace(retries, on_pause=announce))


@contextlib.contextmanager
def submitting(terminal: Terminal) -> Iterator[None]:
    """After Ctrl-C it is unknown whether the gateway has received the job."""
    try:
        yield
    except KeyboardInterrupt:
        look, stop = terminal.command("jobs"), terminal.command("cancel", "ID")
        terminal.note(f"The job may exist. Look for it with: {look}. Stop it with: {stop}")
        raise
