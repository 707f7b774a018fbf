"""The client of the commands."""

import contextlib
from argparse import Namespace
from collections.abc import Iterator

from darkroom_client.cli.parser import gateway_of
from darkroom_client.cli.terminal import Terminal
from darkroom_client.retries import Retries
from darkroom_client.sync_client import Darkroom

PATIENT = Retries(attempts=4, longest_seconds=2.0)
"""A person waits for an answer: a gateway that refuses connections is reported after three seconds."""

HASTY = Retries(attempts=1)
"""For completion."""


def connect(options: Namespace, retries: Retries = PATIENT) -> Darkroom:
    return Darkroom(gateway_of(options), retries=retries)


@contextlib.contextmanager
def submitting(terminal: Terminal) -> Iterator[None]:
    """After Ctrl-C it is unknown whether the gateway has received the job."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.note("The job may exist. Look for it with: darkroom jobs. Stop it with: darkroom cancel ID")
        raise
