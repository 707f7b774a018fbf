"""Load generator of gateway_watchers.py: a process with many open event streams of one server.

    python benchmarks/stream_watchers.py PORT PATH COUNT

Uses raw sockets, because an HTTP client would cost more than the measured servers. Prints a line of JSON when all
streams are open, and one per command on stdin: `received` returns the arrival times of the steps, `stop` exits.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from typing import Any


def raise_file_limit() -> None:
    """Each stream takes a file descriptor at both ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Watchers:
    """A process with many open streams of one server."""

    def __init__(self, port: int, path: str, count: int) -> None:
        self.count = count
        command = [sys.executable, __file__, str(port), path, str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "connected"

    def received(self) -> dict[str, list[float]]:
        """Arrival times of each step at each watcher, since the last call."""
        return dict(self._ask("received"))

    def stop(self) -> int:
        """End the process; returns the number of warnings."""
        return int(self._ask("stop"))

    def _ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        print(question, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class Stream(asyncio.Protocol):
    """One watcher, which records the arrival times of steps."""

    def __init__(self, path: str, received: dict[str, list[float]], warnings: list[bytes]) -> None:
        self.begun = asyncio.get_running_loop().create_future()
        self._head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._received = received
        self._warnings = warnings
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if b"event: progress" in event:
                step = event.partition(b'"step":')[2].partition(b",")[0].decode().strip()
                self._received[step].append(now)
            elif b"event: warning" in event:
                self._warnings.append(event)
        if events and not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(ConnectionError(f"a stream did not begin: {self._rest!r}"))


async def _watch(port: str, path: str, count: str) -> None:
    raise_file_limit()
    received: dict[str, list[float]] = defaultdict(list)
    warnings: list[bytes] = []
    loop, streams = asyncio.get_running_loop(), list[Stream]()
    for _ in range(int(count)):
        _, stream = await loop.create_connection(lambda: Stream(path, received, warnings), "127.0.0.1", int(port))
        streams.append(stream)
        if len(streams) % 20 == 0:
            await stream.begun
    await asyncio.gather(*(stream.begun for stream in streams))
    print(json.dumps("connected"), flush=True)
    while (await loop.run_in_executor(None, sys.stdin.readline)).strip() == "received":
        print(json.dumps(received), flush=True)
        received.clear()
    print(json.dumps(len(warnings)), flush=True)


if __name__ == "__main__":
    asyncio.run(_watch(*sys.argv[1:]))
