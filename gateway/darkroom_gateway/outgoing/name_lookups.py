"""Resolves host names in threads of its own. Used by sessions.py.

The names are chosen by users, and each may take half a minute. `loop.getaddrinfo` would share its threads with the rest
of the gateway: under uvloop they are the four of libuv, which reconnect to Redis too.
"""

import asyncio
import errno
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

THREADS = 16


@dataclass(frozen=True)
class FoundAddress:
    """One address of a name."""

    family: int
    protocol: int
    host: str


@dataclass
class _Lookup:
    """A lookup that is queued or in progress."""

    result: Future[list[FoundAddress]]
    waiting: int = 0


class NameLookups:
    """Lookups of one kind of names. Callers of the same name share a lookup, so a slow name occupies one thread."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, "names")
        self._lookups: dict[tuple[str, int], _Lookup] = {}

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def find(self, host: str, family: int, seconds: float) -> list[FoundAddress]:
        """The addresses of a name. Raises `OSError`, with `ETIMEDOUT` when it takes longer than `seconds`.

        A thread can't be stopped: a lookup in progress continues, and the next caller of its name joins it.
        """
        lookup = self._lookups.get((host, family)) or self._begin(host, family)
        lookup.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await _done(lookup.result)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "The name was not resolved in time") from None
        finally:
            lookup.waiting -= 1
            if lookup.waiting == 0:
                lookup.result.cancel()  # If it is still queued.
        return lookup.result.result()

    def _begin(self, host: str, family: int) -> _Lookup:
        lookup = self._lookups[host, family] = _Lookup(self._threads.submit(_look_up, host, family))
        lookup.result.add_done_callback(lambda _: self._lookups.pop((host, family)))
        return lookup


async def _done(result: Future[list[FoundAddress]]) -> None:
    """Waits for a future. Unlike with `asyncio.wrap_future`, cancelling the caller does not cancel it."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # The loop is closed.
            loop.call_soon_threadsafe(done.set)

    result.add_done_callback(wake)
    await done.wait()


def _look_up(host: str, family: int) -> list[FoundAddress]:
    found = socket.getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [FoundAddress(family, protocol, _numeric(address)) for family, _, protocol, _, address in found]


def _numeric(address: tuple[object, ...]) -> str:
    """The text of an address, with the zone of a link-local one, which `getaddrinfo` leaves out of it."""
    return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]  # type: ignore[arg-type]
