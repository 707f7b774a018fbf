"""The client of the commands."""

from argparse import Namespace

from darkroom_client.cli.parser import gateway_of
from darkroom_client.retries import Retries
from darkroom_client.sync_client import Darkroom

PATIENT = Retries(attempts=4, longest_seconds=2.0)
"""A person waits for an answer: a gateway that is down is reported after three seconds."""

HASTY = Retries(attempts=1)
"""For completion."""


def connect(options: Namespace, retries: Retries = PATIENT) -> Darkroom:
    return Darkroom(gateway_of(options), retries=retries)
