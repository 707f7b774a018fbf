"""Garbage collection by owner references, and the emptying of namespaces and kinds that are being deleted.

Level-triggered: each round looks at everything there is, so that a round that a crash cut short is simply repeated.
Called by `routes.py` for as long as the server runs, woken by `verbs.py`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from darkroom_local.apiserver import event_views
from darkroom_local.apiserver.deletion import FOREGROUND, ORPHAN
from darkroom_local.apiserver.documents import Json, clone, dig, is_being_deleted, owners
from darkroom_local.apiserver.errors import StatusError
from darkroom_local.apiserver.registry import Resource
from darkroom_local.apiserver.store import StoreConflictError
from darkroom_local.apiserver.verbs import DEFINITIONS, NAMESPACES, Api, Place

log = logging.getLogger(__name__)

EVENT_LIFE = timedelta(hours=1)
"""As long as Kubernetes keeps events by default."""
REST_SECONDS = 60.0
"""Without being woken it looks at everything this often."""
SHARE = 0.1
"""Of a core, at most, goes into looking at everything: it is not urgent, and everything may be very many objects."""

Settle = Callable[[Api, Resource, Json], int]


class Collector:
    """One task that collects when it is woken."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()
        self._wanted.set()

    def wake(self) -> None:
        self._wanted.set()

    async def run(self, api: Api) -> None:
        while True:
            try:
                await asyncio.wait_for(self._wanted.wait(), REST_SECONDS)
            except TimeoutError:
                log.debug("looking at everything, unasked")
            self._wanted.clear()
            began = time.thread_time()
            if collect(api):
                self._wanted.set()  # What was collected may have orphaned more.
            await asyncio.sleep((time.thread_time() - began) * (1 / SHARE - 1))


def collect(api: Api) -> int:
    """One round; how many objects it touched.

    What is abandoned goes first: once a kind is gone, nobody can tell any more whether an owner of it is.
    """
    return _round(api, _sweep) + _round(api, _go_on_deleting)


def _round(api: Api, settle: Settle) -> int:
    found = [(resource, document) for resource, document in _everything(api) if _may_concern(resource, document)]
    return sum(_settled(api, settle, resource, document) for resource, document in found)


def _may_concern(resource: Resource, document: Json) -> bool:
    """Nothing is ever done about the others: most objects."""
    metadata = document["metadata"]
    return (
        "ownerReferences" in metadata
        or "deletionTimestamp" in metadata
        or resource.collection == event_views.COLLECTION
    )


def _everything(api: Api) -> Iterator[tuple[Resource, Json]]:
    for collection in api.store.collections():
        if resource := api.registry.of_collection(collection):
            for document in api.store.items(collection):
                yield resource, document


def _settled(api: Api, settle: Settle, resource: Resource, seen: Json) -> int:
    """What was done for one object, if it is still there."""
    metadata = seen["metadata"]
    document = api.store.get(resource.collection, metadata.get("namespace", ""), metadata["name"])
    if document is None or document["metadata"]["uid"] != metadata["uid"]:
        return 0
    try:
        return settle(api, resource, document)
    except (StatusError, StoreConflictError) as error:
        log.warning("collecting %s %s: %s", resource.plural, metadata["name"], error)
        return 0


def _sweep(api: Api, resource: Resource, document: Json) -> int:
    """Delete what nobody owns any more, and events that are past their time."""
    if is_being_deleted(document) or not (_is_abandoned(api, document) or _is_stale(resource, document)):
        return 0
    api.delete(Place.of(resource, document), {"propagationPolicy": "Background"})
    return 1


def _is_stale(resource: Resource, document: Json) -> bool:
    if resource.collection != event_views.COLLECTION:
        return False
    last = dig(document, ("series", "lastObservedTime")) or document.get("lastTimestamp")
    seen = last or document["metadata"]["creationTimestamp"]
    try:
        return datetime.now(UTC) - datetime.fromisoformat(seen) > EVENT_LIFE
    except (TypeError, ValueError):
        return True


def _go_on_deleting(api: Api, resource: Resource, document: Json) -> int:
    if not is_being_deleted(document):
        return 0
    finalizers = document["metadata"].get("finalizers") or []
    if ORPHAN in finalizers:
        for kind, dependent in _dependents(api, document):
            _disown(api, kind, dependent, document)
        return _drop_finalizer(api, resource, document, ORPHAN)
    if FOREGROUND in finalizers:
        return _delete_foreground(api, resource, document)
    if resource.collection in (NAMESPACES, DEFINITIONS):
        return _empty(api, resource, document)
    return 0


def _delete_foreground(api: Api, resource: Resource, document: Json) -> int:
    """Delete the dependents; the owner goes when none is left of those that say they block it."""
    dependents = list(_dependents(api, document))
    waiting = [(kind, each) for kind, each in dependents if not is_being_deleted(each)]
    for kind, dependent in waiting:
        api.delete(Place.of(kind, dependent), {"propagationPolicy": "Background"})
    if any(_blocks(each, document) for _, each in dependents):
        return len(waiting)
    return _drop_finalizer(api, resource, document, FOREGROUND)


def _blocks(dependent: Json, owner: Json) -> bool:
    uid = owner["metadata"]["uid"]
    return any(each.get("uid") == uid and each.get("blockOwnerDeletion") for each in owners(dependent))


def _empty(api: Api, resource: Resource, document: Json) -> int:
    """Delete what a namespace or a kind contains; then itself."""
    contents = [(kind, each) for kind, each in _everything(api) if _is_within(resource, document, kind, each)]
    waiting = [(kind, each) for kind, each in contents if not is_being_deleted(each)]
    for kind, each in waiting:
        api.delete(Place.of(kind, each), {"propagationPolicy": "Background"})
    return len(waiting) if contents else int(api.finish_deletion(resource, document))


def _is_within(resource: Resource, container: Json, kind: Resource, document: Json) -> bool:
    if resource.collection == NAMESPACES:
        return bool(document["metadata"].get("namespace") == container["metadata"]["name"])
    spec = container["spec"]
    return (kind.group, kind.plural) == (spec["group"], spec["names"]["plural"])


def _is_abandoned(api: Api, document: Json) -> bool:
    """Whether it had owners and none of them is left."""
    references = list(owners(document))
    return bool(references) and not any(_is_there(api, document, each) for each in references)


def _is_there(api: Api, document: Json, reference: Json) -> bool:
    """Whether an owner exists. One of a kind that isn't served can't be looked for, and counts as there."""
    group, _, version = str(reference.get("apiVersion", "")).rpartition("/")
    kind = api.registry.find_kind(group, version, str(reference.get("kind")))
    if kind is None:
        return True
    namespace = document["metadata"].get("namespace", "") if kind.namespaced else ""
    found = api.store.get(kind.collection, namespace, str(reference.get("name")))
    return found is not None and bool(found["metadata"]["uid"] == reference.get("uid"))


def _dependents(api: Api, owner: Json) -> Iterator[tuple[Resource, Json]]:
    uid = owner["metadata"]["uid"]
    for resource, document in list(_everything(api)):
        if any(reference.get("uid") == uid for reference in owners(document)):
            yield resource, document


def _disown(api: Api, resource: Resource, document: Json, owner: Json) -> None:
    after = clone(document)
    kept = [each for each in owners(document) if each.get("uid") != owner["metadata"]["uid"]]
    after["metadata"].pop("ownerReferences")
    if kept:
        after["metadata"]["ownerReferences"] = kept
    api.replace(resource, document, after)


def _drop_finalizer(api: Api, resource: Resource, document: Json, finalizer: str) -> int:
    after = clone(document)
    after["metadata"]["finalizers"] = [each for each in document["metadata"]["finalizers"] if each != finalizer]
    api.replace(resource, document, after)
    return 1
