"""Ports on loopback."""

import contextlib
import errno
import socket

import pytest

from darkroom_local.errors import PortTakenError
from darkroom_local.processes.ports import bind_error, free_ports, is_free, require_free


@contextlib.contextmanager
def listening(address):
    with socket.create_server((address, 0)) as server:
        yield server.getsockname()[1]


def test_free_ports_are_different_and_free():
    ports = free_ports(6)

    assert len(set(ports)) == 6
    assert all(is_free(port) for port in ports)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_somebody_listens_on_is_not_free(address):
    with listening(address) as port:
        assert not is_free(port)
        with pytest.raises(PortTakenError, match=f"port {port}, which gateway of this state folder listens on"):
            require_free("gateway", port)
    assert is_free(port)


def test_a_port_that_can_not_be_had_for_another_reason_is_not_called_used(monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)

    assert bind_error(80) == "can't be listened on (Permission denied)"


def test_a_port_that_was_used_a_moment_ago_is_free():
    """Connections in TIME_WAIT must not keep a cluster from starting again."""
    with listening("127.0.0.1") as port, socket.create_connection(("127.0.0.1", port)):
        pass

    assert is_free(port)
