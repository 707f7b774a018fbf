"""Lookups of host names: shared by name, limited in time, and in threads of their own."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import aiohttp
import pytest
from support.webhook_stage import eventually

from darkroom_gateway.outgoing.name_lookups import FoundAddress, NameLookups
from darkroom_gateway.outgoing.sessions import failure_words, new_session

LOOPBACK = FoundAddress(socket.AF_INET, socket.IPPROTO_TCP, "127.0.0.1")


class SlowNames:
    """A `getaddrinfo` that does not answer for names that begin with `slow`, until `answer` is set."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked: list[str] = []
        self._original = socket.getaddrinfo

    def __call__(self, host: str, *arguments: object, **options: object) -> object:
        self.asked.append(host)
        if host.startswith("slow"):
            self.answer.wait(60)
            host = "127.0.0.1"
        return self._original(host, *arguments, **options)  # type: ignore[arg-type]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowNames]:
    found = SlowNames()
    monkeypatch.setattr(socket, "getaddrinfo", found)
    yield found
    found.answer.set()


@pytest.fixture
def lookups(names: SlowNames) -> Iterator[NameLookups]:
    found = NameLookups(threads=2)
    yield found
    names.answer.set()
    found.close()


async def find(lookups: NameLookups, host: str, seconds: float = 60) -> list[FoundAddress]:
    return await lookups.find(host, socket.AF_INET, seconds)


async def test_callers_of_a_slow_name_share_one_thread(lookups: NameLookups, names: SlowNames) -> None:
    callers = [asyncio.create_task(find(lookups, "slow.example")) for _ in range(5)]
    assert await find(lookups, "127.0.0.1") == [LOOPBACK]
    callers[0].cancel()
    names.answer.set()
    assert await asyncio.gather(*callers[1:]) == [[LOOPBACK]] * 4
    assert names.asked.count("slow.example") == 1


async def test_lookup_that_timed_out_is_joined_by_the_next_caller(lookups: NameLookups, names: SlowNames) -> None:
    with pytest.raises(OSError, match="not resolved in time"):
        await find(lookups, "slow.example", 0.01)
    caller = asyncio.create_task(find(lookups, "slow.example"))
    await find(lookups, "127.0.0.1")
    names.answer.set()
    assert await caller == [LOOPBACK]
    assert names.asked.count("slow.example") == 1


async def test_queued_lookup_without_callers_is_dropped(lookups: NameLookups, names: SlowNames) -> None:
    busy = [asyncio.create_task(find(lookups, f"slow-{number}.example")) for number in range(2)]
    await eventually(lambda: len(names.asked) == 2, "both threads are busy")
    with suppress(OSError):
        await find(lookups, "late.invalid", 0.01)
    names.answer.set()
    await asyncio.gather(*busy)
    assert await find(lookups, "127.0.0.1") == [LOOPBACK]
    assert "late.invalid" not in names.asked


async def test_unknown_name_fails_for_all_callers(lookups: NameLookups) -> None:
    callers = [find(lookups, "no-such-host.invalid") for _ in range(2)]
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(each) for each in found] == [socket.gaierror] * 2


async def test_request_to_a_slow_name_says_so(lookups: NameLookups) -> None:
    async with new_session(lookups, public_only=False, seconds=0.2, headers={}) as session:
        with pytest.raises(aiohttp.ClientConnectorDNSError) as raised:
            await session.get("http://slow.example/")
    assert failure_words(raised.value) == "the name was not resolved in time"


async def test_slow_names_of_one_kind_do_not_delay_the_other(lookups: NameLookups, names: SlowNames) -> None:
    busy = [asyncio.create_task(find(lookups, f"slow-{number}.example")) for number in range(2)]
    await eventually(lambda: len(names.asked) == 2, "all threads of the first kind are busy")
    other = NameLookups(threads=1)
    assert await find(other, "127.0.0.1") == [LOOPBACK]
    other.close()
    names.answer.set()
    await asyncio.gather(*busy)
