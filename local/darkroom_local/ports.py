"""Loopback ports: finding free ones, and checking that a remembered one still is. Used by state.py and cluster.py."""

import contextlib
import secrets
import socket

from darkroom_local.errors import PortTakenError

FIRST_PORT, LAST_PORT = 20_000, 29_999
"""Below the range that the kernel takes ports of outgoing connections from: one might borrow ours between starts."""


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
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def require_free(name: str, port: int) -> None:
    """Raise `PortTakenError` when another program listens on a port of ours."""
    if not is_free(port):
        raise PortTakenError(
            f"port {port}, which {name} of this state folder listens on, is used by another program: "
            "stop that program, or name another folder with --state-dir"
        )
