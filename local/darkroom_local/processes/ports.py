"""Loopback ports: chooses free ones, and checks whether a port can be listened on."""

import argparse
import contextlib
import errno
import os
import secrets
import socket
from collections.abc import Callable

from darkroom_local.errors import PortTakenError

ANY_PORT = 0
"""Any free port, as usual in socket APIs."""

MAX_PORT = 65_535

FIRST_PORT, LAST_PORT = 20_000, 29_999
"""Below the kernel's ephemeral range, from which an outgoing connection might take our port between two starts."""


def port_number(least: int = 1) -> Callable[[str], int]:
    """An argparse type for ports from `least` to 65535."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= MAX_PORT:
            raise argparse.ArgumentTypeError(f"{text!r} is not a port from {least} to {MAX_PORT}")
        return int(text)

    return read


def free_ports(count: int) -> list[int]:
    """Distinct free ports, chosen at random so that clusters started at the same time do not collide."""
    ports: set[int] = set()
    while len(ports) < count:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT + 1)
        if is_free(port):
            ports.add(port)
    return list(ports)


def is_free(port: int) -> bool:
    """Whether a server can listen on the port now."""
    return bind_error(port) is None


def bind_error(port: int) -> str | None:
    """Why no server can listen on the port now, as a message for users; None when one can."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use by another program"
            return f"can't be used ({os.strerror(error.errno or 0)})"
    return None


def require_free(name: str, port: int) -> None:
    """Raise `PortTakenError` when the port of a component can't be listened on."""
    if (reason := bind_error(port)) is not None:
        raise PortTakenError(
            f"port {port}, which {name} of this state directory listens on, {reason}: "
            "stop that program, or choose another directory with --state-dir"
        )
