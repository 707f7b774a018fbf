"""Free and used ports on loopback."""

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


def test_free_ports_are_distinct_and_free():
    ports = free_ports(6)

    assert len(set(ports)) == 6
    assert all(is_free(port) for port in ports)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_with_a_listener_is_not_free(address):
    with listening(address) as port:
        assert not is_free(port)
        with pytest.raises(PortTakenError, match=f"port {port}, which gateway of this state directory listens on"):
            require_free("gateway", port)
    assert is_free(port)


def test_another_bind_error_is_named(monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)

    assert bind_error(80) == "can't be used (Permission denied)"


def test_a_port_with_connections_in_time_wait_is_free():
    """They must not keep a cluster from restarting."""
    with listening("127.0.0.1") as port, socket.create_connection(("127.0.0.1", port)):
        pass

    assert is_free(port)
