"""Closed-loop HTTP load generator: each client sends its next request after the response. Used by gateway.py.

    python benchmarks/gateway_load.py http://127.0.0.1:8000/jobs --clients 50 --seconds 5

Runs as a separate process, so that it shares no event loop with the measured server; prints one line of JSON. It parses
only what it needs: a full HTTP client would take longer per request than the measured servers.
"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

HEAD_END = b"\r\n\r\n"


@dataclass
class Tally:
    """The results of all clients of a round."""

    request: bytes
    end: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    first_failure: str = ""

    def fail(self, why: str) -> None:
        self.failures += 1
        self.first_failure = self.first_failure or why


class Client(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, tally: Tally, done: "asyncio.Future[None]") -> None:
        self._tally = tally
        self.done = done
        self._received = b""
        self._sent = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not instances of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._tally.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(HEAD_END)
        if head_end < 0:
            return
        head = self._received[:head_end].lower()
        length = int(head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
        if len(self._received) < head_end + len(HEAD_END) + length:
            return
        now = time.perf_counter()
        self._tally.latencies.append(now - self._sent)
        if not head.startswith(b"http/1.1 200"):
            self._tally.fail(self._received[:300].decode("latin-1"))
        self._received = b""
        if now < self._tally.end:
            self.send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self._tally.end:
            self._tally.fail(f"the connection ended: {exc}")
        if not self.done.done():
            self.done.set_result(None)


async def run(url: str, clients: int, seconds: float) -> dict[str, Any]:
    """Connect all clients, then measure for some seconds."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    tally = Tally(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode())
    loop = asyncio.get_running_loop()
    made = [Client(tally, loop.create_future()) for _ in range(clients)]
    for client in made:
        await loop.create_connection(partial(_itself, client), parts.hostname or "", parts.port or 80)
    began = time.perf_counter()
    tally.end = began + seconds
    for client in made:
        client.send()
    await asyncio.gather(*(client.done for client in made))
    took = time.perf_counter() - began
    latencies = sorted(tally.latencies)
    return {
        "requests": len(latencies),
        "per_second": len(latencies) / took,
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[int(len(latencies) * 0.99)],
        "failures": tally.failures,
        "first_failure": tally.first_failure,
    }


def _itself(client: Client) -> Client:
    return client


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    print(json.dumps(uvloop.run(run(options.url, options.clients, options.seconds))))


if __name__ == "__main__":
    main()
