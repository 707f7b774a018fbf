"""Garbage collection: owner references, contents of deleted namespaces and kinds, and expired events.

Level-triggered: each round looks at all objects, so an interrupted round is repeated. Writes wake it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, dig, is_being_deleted, owners
from darkroom_local.apiserver.registry.deletion import FOREGROUND, ORPHAN
from darkroom_local.apiserver.registry.request import RequestTarget
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.resource import DEFINITIONS, EVENTS, NAMESPACES, Resource
from darkroom_local.apiserver.storage.store import StoreConflictError

log = logging.getLogger(__name__)

EVENT_TTL = timedelta(hours=1)
"""The default of Kubernetes (`--event-ttl`)."""
RESYNC_SECONDS = 60.0
"""Interval of rounds without a wake-up."""
MAX_CPU_SHARE = 0.1
"""Maximum share of a core: collection is not urgent, and a round reads every object."""

Step = Callable[[ResourceApi, Resource, Json], int]


class GarbageCollector:
    """One task that runs a round whenever it is woken."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._requested.set()

    def wake(self) -> None:
        self._requested.set()

    async def run(self, api: ResourceApi) -> None:
        while True:
            try:
                async with asyncio.timeout(RESYNC_SECONDS):
                    await self._requested.wait()
            except TimeoutError:
                log.debug("periodic round")
            self._requested.clear()
            began = time.thread_time()
            if collect_garbage(api):
                self._requested.set()  # The deletions may have orphaned other objects.
            await asyncio.sleep((time.thread_time() - began) * (1 / MAX_CPU_SHARE - 1))


def collect_garbage(api: ResourceApi) -> int:
    """One round; returns the number of objects it changed.

    Unowned objects come first: once a kind is deleted, nothing shows whether an owner of that kind exists.
    """
    found = [(resource, document) for resource, document in _all_objects(api) if _is_candidate(resource, document)]
    steps = (_delete_unneeded, _continue_deletion)
    return sum(_process(api, step, resource, document) for step in steps for resource, document in found)


def _is_candidate(resource: Resource, document: Json) -> bool:
    """Whether a step may apply; to most objects none does."""
    metadata = document["metadata"]
    return "ownerReferences" in metadata or "deletionTimestamp" in metadata or resource.collection == EVENTS


def _all_objects(api: ResourceApi) -> Iterator[tuple[Resource, Json]]:
    for collection in api.store.collections():
        if resource := api.registry.for_collection(collection):
            for document in api.store.items(collection):
                yield resource, document


def _process(api: ResourceApi, step: Step, resource: Resource, seen: Json) -> int:
    """Apply a step to an object that still exists; returns the number of changes."""
    metadata = seen["metadata"]
    document = api.store.get(resource.collection, metadata.get("namespace", ""), metadata["name"])
    if document is None or document["metadata"]["uid"] != metadata["uid"]:
        return 0
    try:
        return step(api, resource, document)
    except (StatusError, StoreConflictError) as error:
        log.warning("garbage collection of %s %s: %s", resource.plural, metadata["name"], error)
        return 0


def _delete_unneeded(api: ResourceApi, resource: Resource, document: Json) -> int:
    """Delete objects whose owners are all deleted, and expired events."""
    if is_being_deleted(document) or not (_is_unowned(api, document) or _is_expired(resource, document)):
        return 0
    api.delete(RequestTarget.of(resource, document), {"propagationPolicy": "Background"})
    return 1


def _is_expired(resource: Resource, document: Json) -> bool:
    if resource.collection != EVENTS:
        return False
    last = dig(document, ("series", "lastObservedTime")) or document.get("lastTimestamp")
    seen = last or document["metadata"]["creationTimestamp"]
    try:
        return datetime.now(UTC) - datetime.fromisoformat(seen) > EVENT_TTL
    except (TypeError, ValueError):
        return True


def _continue_deletion(api: ResourceApi, resource: Resource, document: Json) -> int:
    if not is_being_deleted(document):
        return 0
    finalizers = document["metadata"].get("finalizers") or []
    if ORPHAN in finalizers:
        for kind, dependent in _dependents(api, document):
            _remove_owner(api, kind, dependent, document)
        return _drop_finalizer(api, resource, document, ORPHAN)
    if FOREGROUND in finalizers:
        return _delete_foreground(api, resource, document)
    if resource.collection in (NAMESPACES, DEFINITIONS):
        return _delete_contents(api, resource, document)
    return 0


def _delete_foreground(api: ResourceApi, resource: Resource, document: Json) -> int:
    """Delete the dependents; then the owner, once no dependent with `blockOwnerDeletion` is left."""
    dependents = list(_dependents(api, document))
    remaining = [(kind, each) for kind, each in dependents if not is_being_deleted(each)]
    for kind, dependent in remaining:
        api.delete(RequestTarget.of(kind, dependent), {"propagationPolicy": "Background"})
    if any(_blocks(each, document) for _, each in dependents):
        return len(remaining)
    return _drop_finalizer(api, resource, document, FOREGROUND)


def _blocks(dependent: Json, owner: Json) -> bool:
    uid = owner["metadata"]["uid"]
    return any(each.get("uid") == uid and each.get("blockOwnerDeletion") for each in owners(dependent))


def _delete_contents(api: ResourceApi, resource: Resource, document: Json) -> int:
    """Delete the contents of a namespace or a kind, then the object itself."""
    contents = [(kind, each) for kind, each in _all_objects(api) if _is_within(resource, document, kind, each)]
    remaining = [(kind, each) for kind, each in contents if not is_being_deleted(each)]
    for kind, each in remaining:
        api.delete(RequestTarget.of(kind, each), {"propagationPolicy": "Background"})
    return len(remaining) if contents else int(api.finish_deletion(resource, document))


def _is_within(resource: Resource, container: Json, kind: Resource, document: Json) -> bool:
    if resource.collection == NAMESPACES:
        return bool(document["metadata"].get("namespace") == container["metadata"]["name"])
    spec = container["spec"]
    return (kind.group, kind.plural) == (spec["group"], spec["names"]["plural"])


def _is_unowned(api: ResourceApi, document: Json) -> bool:
    """Whether it has owner references, and none of these owners exists."""
    references = list(owners(document))
    return bool(references) and not any(_exists(api, document, each) for each in references)


def _exists(api: ResourceApi, document: Json, reference: Json) -> bool:
    """Whether an owner exists. One of a kind that isn't served cannot be checked, and counts as existing."""
    group, _, version = str(reference.get("apiVersion", "")).rpartition("/")
    kind = api.registry.find_kind(group, version, str(reference.get("kind")))
    if kind is None:
        return True
    namespace = document["metadata"].get("namespace", "") if kind.namespaced else ""
    found = api.store.get(kind.collection, namespace, str(reference.get("name")))
    return found is not None and bool(found["metadata"]["uid"] == reference.get("uid"))


def _dependents(api: ResourceApi, owner: Json) -> Iterator[tuple[Resource, Json]]:
    uid = owner["metadata"]["uid"]
    for resource, document in list(_all_objects(api)):
        if any(reference.get("uid") == uid for reference in owners(document)):
            yield resource, document


def _remove_owner(api: ResourceApi, resource: Resource, document: Json, owner: Json) -> None:
    after = clone(document)
    kept = [each for each in owners(document) if each.get("uid") != owner["metadata"]["uid"]]
    after["metadata"].pop("ownerReferences")
    if kept:
        after["metadata"]["ownerReferences"] = kept
    api.replace_metadata(resource, document, after)


def _drop_finalizer(api: ResourceApi, resource: Resource, document: Json, finalizer: str) -> int:
    after = clone(document)
    after["metadata"]["finalizers"] = [each for each in document["metadata"]["finalizers"] if each != finalizer]
    api.replace_metadata(resource, document, after)
    return 1
