"""Garbage collection by owner references, and the emptying of namespaces and kinds that are being deleted.

Level-triggered: each round looks at everything there is, so that a round that a crash cut short is simply repeated.
Called by `routes.py` for as long as the server runs, woken by `verbs.py`.
"""

import asyncio
import logging
from collections.abc import Iterator

from darkroom_local.apiserver.documents import Json, clone, is_being_deleted, owners
from darkroom_local.apiserver.errors import StatusError
from darkroom_local.apiserver.registry import Resource
from darkroom_local.apiserver.verbs import DEFINITIONS, FOREGROUND, NAMESPACES, ORPHAN, Api, Place

log = logging.getLogger(__name__)


class Collector:
    """One task that collects when it is woken."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()
        self._wanted.set()

    def wake(self) -> None:
        self._wanted.set()

    async def run(self, api: Api) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if collect(api):
                self._wanted.set()  # What was collected may have orphaned more.
            await asyncio.sleep(0)


def collect(api: Api) -> int:
    """One round; how many objects it touched."""
    return sum(_settle(api, resource, document) for resource, document in list(_everything(api)))


def _everything(api: Api) -> Iterator[tuple[Resource, Json]]:
    for collection, document in api.store.everything():
        if resource := api.registry.of_collection(collection):
            yield resource, document


def _settle(api: Api, resource: Resource, document: Json) -> int:
    """Whatever this object needs; 1 when something was done."""
    try:
        if _is_abandoned(api, document) and not is_being_deleted(document):
            api.delete(_place(resource, document), {"propagationPolicy": "Background"})
            return 1
        return _go_on_deleting(api, resource, document) if is_being_deleted(document) else 0
    except StatusError as error:
        log.info("collecting %s %s: %s", resource.plural, document["metadata"]["name"], error)
        return 0


def _go_on_deleting(api: Api, resource: Resource, document: Json) -> int:
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
    dependents = list(_dependents(api, document))
    if not dependents:
        return _drop_finalizer(api, resource, document, FOREGROUND)
    waiting = [(kind, each) for kind, each in dependents if not is_being_deleted(each)]
    for kind, dependent in waiting:
        api.delete(_place(kind, dependent), {"propagationPolicy": "Background"})
    return len(waiting)


def _empty(api: Api, resource: Resource, document: Json) -> int:
    """Delete what a namespace or a kind contains; then itself."""
    contents = [(kind, each) for kind, each in _everything(api) if _is_within(resource, document, kind, each)]
    waiting = [(kind, each) for kind, each in contents if not is_being_deleted(each)]
    for kind, each in waiting:
        api.delete(_place(kind, each), {"propagationPolicy": "Background"})
    if not contents:
        api.finish_deletion(resource, document)
        return 1
    return len(waiting)


def _is_within(resource: Resource, container: Json, kind: Resource, document: Json) -> bool:
    if resource.collection == NAMESPACES:
        return bool(document["metadata"].get("namespace") == container["metadata"]["name"])
    spec = container["spec"]
    return (kind.group, kind.plural) == (spec["group"], spec["names"]["plural"])


def _is_abandoned(api: Api, document: Json) -> bool:
    """Whether it had owners and none of them is left."""
    references = list(owners(document))
    return bool(references) and not any(_owner(api, document, each) for each in references)


def _owner(api: Api, document: Json, reference: Json) -> Json | None:
    group, _, version = str(reference.get("apiVersion", "")).rpartition("/")
    kind = api.registry.find_kind(group, version, str(reference.get("kind")))
    if kind is None:
        return reference
    namespace = document["metadata"].get("namespace", "") if kind.namespaced else ""
    found = api.store.get(kind.collection, namespace, str(reference.get("name")))
    return found if found and found["metadata"]["uid"] == reference.get("uid") else None


def _dependents(api: Api, owner: Json) -> Iterator[tuple[Resource, Json]]:
    uid = owner["metadata"]["uid"]
    for resource, document in list(_everything(api)):
        if any(reference.get("uid") == uid for reference in owners(document)):
            yield resource, document


def _disown(api: Api, resource: Resource, document: Json, owner: Json) -> None:
    after = clone(document)
    kept = [each for each in owners(document) if each.get("uid") != owner["metadata"]["uid"]]
    after["metadata"]["ownerReferences"] = kept
    api.replace(resource, document, after)


def _drop_finalizer(api: Api, resource: Resource, document: Json, finalizer: str) -> int:
    after = clone(document)
    after["metadata"]["finalizers"] = [each for each in document["metadata"]["finalizers"] if each != finalizer]
    api.replace(resource, document, after)
    return 1


def _place(resource: Resource, document: Json) -> Place:
    metadata = document["metadata"]
    return Place(resource, metadata.get("namespace", ""), metadata["name"])
