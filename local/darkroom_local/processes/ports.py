"""Loopback ports: finding free ones, and checking that a remembered one still is. Used by state.py and cluster.py."""

import argparse
import contextlib
import errno
import os
import secrets
import socket
from collections.abc import Callable

from darkroom_local.errors import PortTakenError

ANY_PORT = 0
"""Stands for one that is free, as it does everywhere."""

LAST_POSSIBLE_PORT = 65_535

FIRST_PORT, LAST_PORT = 20_000, 29_999
"""Below the range that the kernel takes ports of outgoing connections from: one might borrow ours between starts."""


def port_number(least: int = 1) -> Callable[[str], int]:
    """A reader of ports for argparse, from `least` to 65535."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= LAST_POSSIBLE_PORT:
            raise argparse.ArgumentTypeError(f"{text!r} is no port from {least} to {LAST_POSSIBLE_PORT}")
        return int(text)

    return read


def free_ports(count: int) -> list[int]:
    """Different free ports, drawn at random so that clusters started at the same moment do not meet."""
    ports: set[int] = set()
    while len(ports) < count:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT + 1)
        if is_free(port):
            ports.add(port)
    return list(ports)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    return bind_error(port) is None


def bind_error(port: int) -> str | None:
    """Why no server could listen on the port now, for people; None when one could."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is used by another program"
            return f"can't be listened on ({os.strerror(error.errno or 0)})"
    return None


def require_free(name: str, port: int) -> None:
    """Raise `PortTakenError` when a port of ours can't be listened on."""
    if (reason := bind_error(port)) is not None:
        raise PortTakenError(
            f"port {port}, which {name} of this state folder listens on, {reason}: "
            "stop that program, or name another folder with --state-dir"
        )
