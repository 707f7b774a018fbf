"""The store: durability, revisions, conflicts, and past lists derived from events."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from darkroom_local.apiserver.storage.store import Store, StoreConflictError, WindowExpiredError

Json = dict[str, Any]

THINGS = "x.dev/things"


def thing(name: str, namespace: str = "n", value: int = 0) -> Json:
    return {"metadata": {"name": name, "namespace": namespace}, "value": value}


def names(found: list[Json]) -> list[str]:
    return [each["metadata"]["name"] for each in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "objects.sqlite"


def changed(store: Store, name: str, value: int) -> Json:
    current = store.get(THINGS, "n", name)
    assert current is not None
    return store.replace(THINGS, {**current, "value": value}, current["metadata"]["resourceVersion"])


def removed(store: Store, name: str) -> Json:
    current = store.get(THINGS, "n", name)
    assert current is not None
    return store.remove(THINGS, current, current["metadata"]["resourceVersion"])


def test_writes_survive_a_restart(path: Path) -> None:
    store = Store(path)
    for name in ("b", "a", "c"):
        store.create(THINGS, thing(name))
    changed(store, "a", 7)
    removed(store, "c")
    revision = store.revision
    store.close()

    again = Store(path)
    assert [(each["metadata"]["name"], each["value"]) for each in again.items(THINGS)] == [("a", 7), ("b", 0)]
    assert again.revision == revision
    again.close()


def test_revisions_increase_across_deletions_and_restarts(path: Path) -> None:
    store = Store(path)
    store.create(THINGS, thing("a"))
    deleted = removed(store, "a")
    store.close()
    again = Store(path)
    made = again.create(THINGS, thing("a"))
    assert int(made["metadata"]["resourceVersion"]) > int(deleted["metadata"]["resourceVersion"])
    again.close()


def test_write_with_a_stale_revision_fails_and_changes_nothing(path: Path) -> None:
    store = Store(path)
    old = store.create(THINGS, thing("a"))
    changed(store, "a", 1)
    revision = store.revision
    for attempt in (store.replace, store.remove):
        with pytest.raises(StoreConflictError):
            attempt(THINGS, old, old["metadata"]["resourceVersion"])
    with pytest.raises(StoreConflictError):
        store.create(THINGS, thing("a"))
    assert store.revision == revision
    store.close()


def test_past_lists_are_derived_from_events(path: Path) -> None:
    store = Store(path)
    for name in ("a", "b", "c"):
        store.create(THINGS, thing(name))
    then = store.revision
    changed(store, "a", 1)
    removed(store, "b")
    store.create(THINGS, thing("d"))
    store.create(THINGS, thing("a", namespace="other"))

    past = store.items_at(THINGS, "n", then)
    assert [(each["metadata"]["name"], each["value"]) for each in past] == [("a", 0), ("b", 0), ("c", 0)]
    assert names(store.items_at(THINGS, None, then)) == ["a", "b", "c"]
    assert names(store.items_at(THINGS, "n", store.revision)) == ["a", "c", "d"]
    store.close()


def test_transform_also_applies_to_cached_past_lists(path: Path) -> None:
    store = Store(path)
    store.create(THINGS, thing("a"))
    assert store.items_at(THINGS, None, store.revision)[0]["value"] == 0
    store.transform(THINGS, lambda document: document | {"value": 7})
    assert store.items_at(THINGS, None, store.revision)[0]["value"] == 7
    store.close()


def test_past_list_without_its_events_expires(path: Path) -> None:
    store = Store(path, window=3)
    first = store.create(THINGS, thing("a"))
    for value in range(4):
        changed(store, "a", value)
    with pytest.raises(WindowExpiredError):
        store.events_after(THINGS, int(first["metadata"]["resourceVersion"]))
    with pytest.raises(WindowExpiredError):
        store.items_at(THINGS, None, int(first["metadata"]["resourceVersion"]))
    assert [event.document["value"] for event in store.events_after(THINGS, store.revision - 3)] == [1, 2, 3]
    store.close()


def test_only_the_current_state_is_known_after_a_restart(path: Path) -> None:
    store = Store(path)
    store.create(THINGS, thing("a"))
    before = store.revision
    changed(store, "a", 1)
    present = store.revision
    store.close()
    again = Store(path)
    assert again.events_after(THINGS, present) == []
    with pytest.raises(WindowExpiredError):
        again.events_after(THINGS, before)
    again.close()


def test_event_windows_of_collections_are_independent(path: Path) -> None:
    store = Store(path, window=3)
    since = store.revision
    store.create("x.dev/others", thing("other"))
    store.create(THINGS, thing("a"))
    for value in range(5):
        changed(store, "a", value)
    assert len(store.events_after("x.dev/others", since)) == 1
    store.close()


def test_disk_error_changes_nothing_in_memory(path: Path) -> None:
    store = Store(path)
    store.create(THINGS, thing("a"))
    revision = store.revision
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.Error):
        store.create(THINGS, thing("b"))
    store._db.execute("PRAGMA query_only = OFF")
    assert (store.revision, names(store.items(THINGS))) == (revision, ["a"])
    store.create(THINGS, thing("c"))
    assert names(store.items(THINGS)) == ["a", "c"]
    store.close()


def test_second_server_on_the_same_file_fails(path: Path) -> None:
    store = Store(path)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        Store(path, wait_seconds=0)
    store.close()
