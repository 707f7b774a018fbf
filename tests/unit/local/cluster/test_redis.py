"""The embedded Redis: durability, password, permissions."""

import os
import signal
from pathlib import Path

import pytest
import redis

from darkroom_local.cluster.redis import redis_program, redis_url
from darkroom_local.processes.ports import free_ports
from darkroom_local.processes.supervisor import Supervisor

PASSWORD = "a-password"
FOLDER = 'Jo\'s "dark" room #1 \\n ä\n'


@pytest.fixture
def port():
    return free_ports(1)[0]


@pytest.fixture
def supervisor(tmp_path, port):
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(redis_program(tmp_path / FOLDER, port, PASSWORD))
    yield supervisor
    supervisor.stop()


@pytest.fixture
def client(supervisor, port):
    with redis.Redis.from_url(redis_url(port, PASSWORD)) as client:
        yield client


def test_data_survives_sigkill(supervisor, client, wait):
    for number in range(100):
        client.xadd("progress", {"step": number})
    client.execute_command("WAITAOF", 1, 0, 10_000)

    os.kill(supervisor.pid("redis"), signal.SIGKILL)

    def length():
        try:
            return client.xlen("progress")
        except redis.ConnectionError:
            return None

    assert wait(length, "Redis is restarted") == 100


def test_a_connection_needs_the_password(supervisor, port):
    with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_the_password_is_neither_on_the_command_line_nor_readable_by_others(supervisor, tmp_path):
    config = tmp_path / FOLDER / "valkey.conf"

    assert PASSWORD.encode() not in Path(f"/proc/{supervisor.pid('redis')}/cmdline").read_bytes()
    assert config.stat().st_mode & 0o077 == 0
