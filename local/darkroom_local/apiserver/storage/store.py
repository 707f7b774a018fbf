"""Durable storage of objects: SQLite on disk, a copy in memory for reads, and a log of recent events for watches.

Owned by the API server's one process and used from its event loop only, so that a read followed by a write is atomic.
Knows nothing of kinds: a `collection` is just a name such as `darkroom.dev/trainjobs`. Objects that it hands out are
shared and must not be changed.
"""

import json
import sqlite3
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from darkroom_local.apiserver.apimachinery.unstructured import Json, encode

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    collection TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (collection, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (only INTEGER PRIMARY KEY CHECK (only = 1), value INTEGER NOT NULL);
INSERT OR IGNORE INTO revision VALUES (1, 1);
"""

EVENT_WINDOW = 5000
"""Events kept for a collection's watches. One that asks for older ones is told to list anew (410)."""
PAST_LISTS = 4
"""Lists that are remembered as they were, for the clients that are reading their pages."""

LOCK_SECONDS = 5.0
"""A server that was just killed may still hold the file for a moment."""


class StoreConflictError(Exception):
    """The object isn't in the state that the writer has seen: it exists, is gone, or has another revision."""


class WindowExpiredError(Exception):
    """The events after the asked revision are no longer kept."""


@dataclass(frozen=True)
class Event:
    """One change. `previous` is None for a new object, and `document` is the last state of a deleted one."""

    revision: int
    kind: str
    """ADDED, MODIFIED or DELETED."""
    collection: str
    document: Json
    previous: Json | None


Listener = Callable[[Event], None]


class Collection:
    """The objects of one collection by namespace and name, and its recent events."""

    def __init__(self, window: int, floor: int) -> None:
        self.objects: dict[str, dict[str, Json]] = defaultdict(dict)
        self.events: deque[Event] = deque(maxlen=window)
        self.floor = floor
        """The revision up to which events are forgotten."""

    def remember(self, event: Event) -> None:
        if len(self.events) == self.events.maxlen:
            self.floor = self.events[0].revision
        self.events.append(event)


class Store:
    """All objects. Every write is on disk (fsync) before it is seen or acknowledged."""

    def __init__(self, path: Path, window: int = EVENT_WINDOW, wait_seconds: float = LOCK_SECONDS) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=wait_seconds)
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")  # A second server on this file fails instead of diverging.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(SCHEMA)
        self.revision: int = self._db.execute("SELECT value FROM revision").fetchone()[0]
        self._window = window
        self._start_revision = self.revision
        self._collections: dict[str, Collection] = {}
        self._listeners: list[Listener] = []
        self._past: dict[tuple[str, str | None, int], list[Json]] = {}
        """The lists that were asked for last, by collection, namespace and revision."""
        for collection, namespace, name, body in self._db.execute("SELECT * FROM objects"):
            self._collection(collection).objects[namespace][name] = json.loads(body)

    def close(self) -> None:
        self._db.close()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have a function called after each write; the returned one ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def get(self, collection: str, namespace: str, name: str) -> Json | None:
        return self._collection(collection).objects.get(namespace, {}).get(name)

    def items(self, collection: str, namespace: str | None = None) -> list[Json]:
        """The objects of one namespace or of all, sorted by namespace and name."""
        spaces = self._collection(collection).objects
        chosen = sorted(spaces) if namespace is None else [namespace]
        return [spaces[space][name] for space in chosen if space in spaces for name in sorted(spaces[space])]

    def items_at(self, collection: str, namespace: str | None, revision: int) -> list[Json]:
        """As `items` were at an earlier revision. Raises `WindowExpiredError` when that isn't known any more."""
        place = collection, namespace, revision
        if place not in self._past:
            self._past[place] = self._find_past(*place)
            if len(self._past) > PAST_LISTS:
                del self._past[next(iter(self._past))]
        return self._past[place]

    def _find_past(self, collection: str, namespace: str | None, revision: int) -> list[Json]:
        if revision == self.revision:
            return self.items(collection, namespace)
        then = {_place(each): each for each in self.items(collection, namespace)}
        for event in reversed(self.events_after(collection, revision)):
            place = _place(event.document)
            if event.previous is None:
                then.pop(place, None)
            elif namespace in (None, place[0]):
                then[place] = event.previous
        return [then[place] for place in sorted(then)]

    def collections(self) -> list[str]:
        return list(self._collections)

    def create(self, collection: str, document: Json) -> Json:
        """Write a new object. Raises `StoreConflictError` when it exists."""
        namespace, name = _place(document)
        if self.get(collection, namespace, name) is not None:
            raise StoreConflictError(f"{collection} {namespace}/{name} exists")
        return self._write(collection, document, None)

    def replace(self, collection: str, document: Json, expected: str) -> Json:
        """Write an object over the revision `expected`. Raises `StoreConflictError` when it has another or is gone."""
        return self._write(collection, document, self._expect(collection, document, expected))

    def remove(self, collection: str, document: Json, expected: str) -> Json:
        """Remove an object at the revision `expected`; `document` is its last state. Raises `StoreConflictError`."""
        previous = self._expect(collection, document, expected)
        namespace, name = _place(document)
        revision = self.revision + 1
        last = _stamped(document, revision)
        with self._transaction(revision):
            self._db.execute(
                "DELETE FROM objects WHERE collection=? AND namespace=? AND name=?", (collection, namespace, name)
            )
        del self._collection(collection).objects[namespace][name]
        self._publish(Event(revision, "DELETED", collection, last, previous))
        return last

    def events_after(self, collection: str, revision: int) -> list[Event]:
        """What happened since. Raises `WindowExpiredError` when that isn't fully known any more."""
        kept = self._collection(collection)
        if revision < kept.floor:
            raise WindowExpiredError(f"too old resource version: {revision} ({kept.floor})")
        return [event for event in kept.events if event.revision > revision]

    def transform(self, collection: str, shown: Callable[[Json], Json]) -> None:
        """Have the objects of a collection read as `shown` returns them. Nothing is written: their revisions stay."""
        self._past.clear()
        for space in self._collection(collection).objects.values():
            for name, document in space.items():
                space[name] = shown(document)

    def _expect(self, collection: str, document: Json, expected: str) -> Json:
        namespace, name = _place(document)
        current = self.get(collection, namespace, name)
        if current is None or current["metadata"]["resourceVersion"] != expected:
            raise StoreConflictError(f"{collection} {namespace}/{name} is not at revision {expected}")
        return current

    def _write(self, collection: str, document: Json, previous: Json | None) -> Json:
        namespace, name = _place(document)
        revision = self.revision + 1
        written = _stamped(document, revision)
        body = encode(written)
        with self._transaction(revision):
            self._db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (collection, namespace, name, body))
        self._collection(collection).objects[namespace][name] = written
        self._publish(Event(revision, "MODIFIED" if previous else "ADDED", collection, written, previous))
        return written

    def _transaction(self, revision: int) -> "_Transaction":
        return _Transaction(self._db, revision)

    def _publish(self, event: Event) -> None:
        self.revision = event.revision
        self._collection(event.collection).remember(event)
        for listener in list(self._listeners):
            listener(event)

    def _collection(self, name: str) -> Collection:
        if name not in self._collections:
            self._collections[name] = Collection(self._window, self._start_revision)
        return self._collections[name]


class _Transaction:
    """One SQLite transaction that also moves the revision on."""

    def __init__(self, db: sqlite3.Connection, revision: int) -> None:
        self._db = db
        self._revision = revision

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._db.execute("ROLLBACK")
            return
        try:
            self._db.execute("UPDATE revision SET value=?", (self._revision,))
            self._db.execute("COMMIT")
        except sqlite3.Error:  # A full disk, most likely.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def _place(document: Json) -> tuple[str, str]:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _stamped(document: Json, revision: int) -> Json:
    return document | {"metadata": document["metadata"] | {"resourceVersion": str(revision)}}
