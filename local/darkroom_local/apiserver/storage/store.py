"""Durable object storage: SQLite on disk, a copy in memory for reads, and a log of recent events for watches.

Only the API server's event loop uses it, so a read followed by a write is atomic. It knows no kinds: a `collection` is
a name such as `darkroom.dev/trainjobs`. Returned objects are shared; callers must not change them.
"""

import json
import sqlite3
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from darkroom_local.apiserver.apimachinery.unstructured import Json, encode, key_of

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    collection TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (collection, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (only INTEGER PRIMARY KEY CHECK (only = 1), value INTEGER NOT NULL);
INSERT OR IGNORE INTO revision VALUES (1, 1);
"""

EVENT_WINDOW = 5000
"""Events kept per collection. A watch that starts at an older one gets 410 and must list again."""
PAST_LISTS = 4
"""Past lists kept in memory, for clients that read them page by page."""

LOCK_SECONDS = 5.0
"""How long to wait for the file: a killed server may hold it for a moment."""


class StoreConflictError(Exception):
    """The object is not in the state that the writer saw: it exists, is missing, or has another revision."""


class WindowExpiredError(Exception):
    """The events after this revision are no longer kept."""


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
    """One collection: its objects by namespace and name, and its recent events."""

    def __init__(self, window: int, trimmed_revision: int) -> None:
        self.objects: dict[str, dict[str, Json]] = defaultdict(dict)
        self.events: deque[Event] = deque(maxlen=window)
        self.trimmed_revision = trimmed_revision
        """Events up to this revision are no longer kept."""

    def append(self, event: Event) -> None:
        if len(self.events) == self.events.maxlen:
            self.trimmed_revision = self.events[0].revision
        self.events.append(event)


class Store:
    """All objects. A write is on disk (fsync) before it is visible or acknowledged."""

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
        """The last requested lists by collection, namespace and revision."""
        for collection, namespace, name, body in self._db.execute("SELECT * FROM objects"):
            self._collection(collection).objects[namespace][name] = json.loads(body)

    def close(self) -> None:
        self._db.close()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each write. Returns the function that unsubscribes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def get(self, collection: str, namespace: str, name: str) -> Json | None:
        return self._collection(collection).objects.get(namespace, {}).get(name)

    def items(self, collection: str, namespace: str | None = None) -> list[Json]:
        """The objects of one namespace, or of all (None), sorted by namespace and name."""
        spaces = self._collection(collection).objects
        chosen = sorted(spaces) if namespace is None else [namespace]
        return [spaces[space][name] for space in chosen if space in spaces for name in sorted(spaces[space])]

    def items_at(self, collection: str, namespace: str | None, revision: int) -> list[Json]:
        """`items` at an earlier revision. Raises `WindowExpiredError` if its events are no longer kept."""
        version = collection, namespace, revision
        if version not in self._past:
            self._past[version] = self._rewind(*version)
            if len(self._past) > PAST_LISTS:
                del self._past[next(iter(self._past))]
        return self._past[version]

    def _rewind(self, collection: str, namespace: str | None, revision: int) -> list[Json]:
        if revision == self.revision:
            return self.items(collection, namespace)
        found = {key_of(each): each for each in self.items(collection, namespace)}
        for event in reversed(self.events_after(collection, revision)):
            key = key_of(event.document)
            if event.previous is None:
                found.pop(key, None)
            elif namespace in (None, key[0]):
                found[key] = event.previous
        return [found[key] for key in sorted(found)]

    def collections(self) -> list[str]:
        return list(self._collections)

    def create(self, collection: str, document: Json) -> Json:
        """Write a new object. Raises `StoreConflictError` if it exists."""
        namespace, name = key_of(document)
        if self.get(collection, namespace, name) is not None:
            raise StoreConflictError(f"{collection} {namespace}/{name} exists")
        return self._write(collection, document, None)

    def replace(self, collection: str, document: Json, expected: str) -> Json:
        """Overwrite revision `expected` of an object. Raises `StoreConflictError` if it has another or is missing."""
        return self._write(collection, document, self._expect(collection, document, expected))

    def remove(self, collection: str, document: Json, expected: str) -> Json:
        """Remove revision `expected` of an object; `document` is its last state. Raises `StoreConflictError`."""
        previous = self._expect(collection, document, expected)
        namespace, name = key_of(document)
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
        """The events since a revision. Raises `WindowExpiredError` if some are no longer kept."""
        kept = self._collection(collection)
        if revision < kept.trimmed_revision:
            raise WindowExpiredError(f"too old resource version: {revision} ({kept.trimmed_revision})")
        return [event for event in kept.events if event.revision > revision]

    def transform(self, collection: str, convert: Callable[[Json], Json]) -> None:
        """Convert a collection's objects in memory. Nothing is written, and their revisions stay the same."""
        self._past.clear()
        for space in self._collection(collection).objects.values():
            for name, document in space.items():
                space[name] = convert(document)

    def _expect(self, collection: str, document: Json, expected: str) -> Json:
        namespace, name = key_of(document)
        current = self.get(collection, namespace, name)
        if current is None or current["metadata"]["resourceVersion"] != expected:
            raise StoreConflictError(f"{collection} {namespace}/{name} is not at revision {expected}")
        return current

    def _write(self, collection: str, document: Json, previous: Json | None) -> Json:
        namespace, name = key_of(document)
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
        self._collection(event.collection).append(event)
        for listener in list(self._listeners):
            listener(event)

    def _collection(self, name: str) -> Collection:
        if name not in self._collections:
            self._collections[name] = Collection(self._window, self._start_revision)
        return self._collections[name]


class _Transaction:
    """One SQLite transaction that also advances the revision."""

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


def _stamped(document: Json, revision: int) -> Json:
    return document | {"metadata": document["metadata"] | {"resourceVersion": str(revision)}}
