"""Watch behaviour that not every cluster can show: expired events, slow clients, initial events."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from darkroom_local.apiserver.storage import watch
from darkroom_local.apiserver.storage.store import Event, Store
from darkroom_local.apiserver.storage.watch import Change, WatchHub, WatchPlan

Json = dict[str, Any]

THINGS = "x.dev/things"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "objects.sqlite", window=5)
    yield opened
    opened.close()


def plan(since: int | None, **more: Any) -> WatchPlan:
    given = {"namespace": None, "selects": lambda document: True, "bookmarks": False, "initial_end": False}
    return WatchPlan(collection=THINGS, since=since, **{**given, "timeout_seconds": 5.0, **more})


def write(store: Store, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        store.create(THINGS, {"metadata": {"name": f"t{number:05}", "namespace": "n"}})


async def take(changes: AsyncIterator[Change], count: int) -> list[Change]:
    return [await asyncio.wait_for(anext(changes), 5) for _ in range(count)]


async def test_watch_of_expired_events_is_a_single_error_event(store: Store) -> None:
    since = store.revision
    write(store, 6)
    [change] = [each async for each in WatchHub(store).watch(plan(since))]
    assert (change.kind, change.document["code"], change.document["reason"]) == ("ERROR", 410, "Expired")


async def test_watch_receives_all_events_still_kept(store: Store) -> None:
    since = store.revision
    write(store, 5)
    changes = WatchHub(store).watch(plan(since))
    assert [each.document["metadata"]["name"] for each in await take(changes, 5)] == [f"t{n:05}" for n in range(5)]


async def test_future_revision_is_an_error(store: Store) -> None:
    [change] = [each async for each in WatchHub(store).watch(plan(store.revision + 1))]
    assert (change.kind, change.document["code"]) == ("ERROR", 410)


async def test_initial_events_end_with_an_annotated_bookmark(store: Store) -> None:
    write(store, 2)
    first, second, bookmark = await take(WatchHub(store).watch(plan(None, initial_end=True)), 3)
    assert [first.kind, second.kind, bookmark.kind] == ["ADDED", "ADDED", "BOOKMARK"]
    assert bookmark.document["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark.document["metadata"]["resourceVersion"] == str(store.revision)


async def test_slow_client_must_list_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BACKLOG", 3)
    changes = WatchHub(store).watch(plan(store.revision))
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    write(store, 20)
    seen = [await waiting]
    seen += [change async for change in changes]
    assert seen[-1].kind == "ERROR"
    assert seen[-1].document["code"] == 410
    assert len(seen) <= 5


async def test_watch_ends_when_the_server_stops(store: Store) -> None:
    hub = WatchHub(store)
    changes = hub.watch(plan(store.revision))
    waiting = asyncio.ensure_future(anext(changes, None))
    await asyncio.sleep(0)
    hub.close()
    assert await asyncio.wait_for(waiting, 5) is None


async def test_ended_watch_is_unsubscribed(store: Store) -> None:
    hub = WatchHub(store)
    changes = hub.watch(plan(store.revision, timeout_seconds=0.01))
    assert [change async for change in changes] == []
    assert not store._listeners
    assert not hub._open


async def test_no_bookmark_is_sent_before_an_event_that_it_covers(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that resumed from such a bookmark would never see the event."""
    next_event = watch.Backlog.next

    async def next_event_or_write(backlog: watch.Backlog, timeout_seconds: float) -> Event | None:
        try:
            return await next_event(backlog, timeout_seconds)
        except TimeoutError:  # The write comes between the timeout and the bookmark.
            write(store, 1)
            raise

    monkeypatch.setattr(watch.Backlog, "next", next_event_or_write)
    since = store.revision
    seen = [change async for change in WatchHub(store).watch(plan(since, bookmarks=True, timeout_seconds=0.01))]
    resumed_from = int(seen[-1].document["metadata"]["resourceVersion"]) if seen else since
    monkeypatch.undo()
    seen += await take(WatchHub(store).watch(plan(resumed_from)), 1)
    assert [change.kind for change in seen] == ["ADDED"]
