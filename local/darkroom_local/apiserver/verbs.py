"""The verbs of the API on stored objects: create, read, update, patch, delete. Called by `routes.py`.

Everything runs on the event loop without awaiting, so that a read and the write that follows it are one step. A write
that was made on an older state is refused with 409.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from darkroom_local.apiserver import customtype, objects, pods
from darkroom_local.apiserver.apply import server_side_apply
from darkroom_local.apiserver.documents import Json, clone, is_being_deleted, now
from darkroom_local.apiserver.errors import (
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from darkroom_local.apiserver.patches import APPLY, apply_patch
from darkroom_local.apiserver.registry import Registry, Resource
from darkroom_local.apiserver.store import Store

DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"
NAMESPACES = "/namespaces"
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass(frozen=True)
class Place:
    """What a request is about."""

    resource: Resource
    namespace: str
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True)
class Options:
    """What the query of a writing request asks for."""

    dry_run: bool = False
    strict: bool = False
    manager: str = "unknown"
    force: bool = False


@dataclass(frozen=True)
class Written:
    """An object as it is now, and what to warn of."""

    document: Json
    warnings: tuple[str, ...] = ()
    created: bool = False


class Api:
    """All objects and kinds. `collect` wakes the garbage collector (collector.py)."""

    def __init__(self, store: Store, registry: Registry, collect: Callable[[], None]) -> None:
        self.store, self.registry, self._collect = store, registry, collect
        for definition in store.items(DEFINITIONS):
            self._serve(definition)
        for name in ("default", "kube-system"):
            if store.get(NAMESPACES, "", name) is None:
                self._create_namespace(name)

    def get(self, place: Place) -> Json:
        document = self.store.get(place.resource.collection, place.namespace, place.name)
        if document is None:
            raise not_found(place.resource.plural, place.resource.group, place.name)
        return self._shown(place.resource, document)

    def select(self, place: Place) -> list[Json]:
        resource = place.resource
        namespace = place.namespace or None if resource.namespaced else None
        return [self._shown(resource, each) for each in self.store.items(resource.collection, namespace)]

    def create(self, place: Place, body: Any, options: Options) -> Written:
        resource = place.resource
        document = objects.born(resource, objects.check_envelope(resource, place.namespace, body))
        name = document["metadata"].get("name", "")
        if resource.namespaced:
            self._require_namespace(place.namespace, resource, name)
        dropped = objects.prepare(resource, document, None)
        if self.store.get(resource.collection, place.namespace, name) is not None:
            raise already_exists(resource.plural, resource.group, name)
        warnings = self._warnings(dropped, options)
        if resource.collection == DEFINITIONS:
            self._accept_definition(document)
        if options.dry_run:
            return Written(document, warnings, created=True)
        written = self.store.create(resource.collection, document)
        self._after_write(resource, written)
        return Written(written, warnings, created=True)

    def update(self, place: Place, body: Any, options: Options) -> Written:
        old = self.get(place)
        new = objects.check_envelope(place.resource, place.namespace, body)
        return self._write(place, old, new, options)

    def patch(self, place: Place, content_type: str, patch: Any, options: Options) -> Written:
        if content_type == APPLY:
            return self._apply(place, patch, options)
        old = self.get(place)
        new = apply_patch(content_type, clone(old), patch, place.resource)
        return self._write(place, old, objects.check_envelope(place.resource, place.namespace, new), options)

    def bind(self, place: Place, body: Json) -> None:
        """The `binding` subresource of pods."""
        old = self.get(Place(place.resource, place.namespace, place.name))
        node = (body.get("target") or {}).get("name")
        if not node:
            raise bad_request("target.name is required")
        self._store(place.resource, old, pods.bound(old, node))

    def delete(self, place: Place, request: Json) -> tuple[Json, bool]:
        """The object as it was last, and whether it is gone already."""
        resource, old = place.resource, self.get(place)
        self._check_preconditions(place, old, request.get("preconditions") or {})
        if resource.collection == NAMESPACES and place.name in ("default", "kube-system"):
            raise forbidden(resource.plural, "", place.name, "this namespace may not be deleted")
        dying = _marked(resource, old, request)
        if request.get("dryRun"):
            return dying, False
        if self._may_go(resource, dying):
            return self._remove(resource, old, dying), True
        if objects.is_unchanged(old, dying):
            return old, False
        written = self._store(resource, old, dying)
        self._collect()
        return written, False

    def finish_deletion(self, resource: Resource, document: Json) -> None:
        """Remove an object that is being deleted when nothing holds it any more."""
        if is_being_deleted(document) and self._may_go(resource, document):
            self._remove(resource, document, document)

    def replace(self, resource: Resource, old: Json, new: Json) -> Json:
        """For the collector: write a change of metadata."""
        return self._write(_place_of(resource, old), old, new, Options()).document

    def _apply(self, place: Place, applied: Any, options: Options) -> Written:
        objects.check_envelope(place.resource, place.namespace, applied)
        old = self.store.get(place.resource.collection, place.namespace, place.name)
        if old is None:
            if place.subresource:
                raise not_found(place.resource.plural, place.resource.group, place.name)
            body = server_side_apply(None, applied, options.manager, options.force, place.resource)
            body["metadata"]["name"] = place.name
            return self.create(place, body, options)
        new = server_side_apply(clone(old), applied, options.manager, options.force, place.resource)
        return self._write(place, old, new, options)

    def _write(self, place: Place, old: Json, new: Json, options: Options) -> Written:
        resource = place.resource
        managed = new["metadata"].get("managedFields")
        new = objects.succeed(resource, old, new, place.subresource)
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        dropped = objects.prepare(resource, new, old)
        objects.count_generation(resource, old, new)
        warnings = self._warnings(dropped, options)
        if objects.is_unchanged(old, new) or options.dry_run:
            return Written(old if not options.dry_run else new, warnings)
        if resource.collection == DEFINITIONS and place.subresource != "status":
            self._accept_definition(new)
        if is_being_deleted(new) and not _added_finalizers(old, new) and self._may_go(resource, new):
            return Written(self._remove(resource, old, new), warnings)
        return Written(self._store(resource, old, new), warnings)

    def _store(self, resource: Resource, old: Json, new: Json) -> Json:
        written = self.store.replace(resource.collection, new, old["metadata"]["resourceVersion"])
        self._after_write(resource, written)
        return written

    def _remove(self, resource: Resource, old: Json, last: Json) -> Json:
        gone = self.store.remove(resource.collection, last, old["metadata"]["resourceVersion"])
        if resource.collection == DEFINITIONS:
            self.registry.drop_custom(gone["spec"]["group"], gone["spec"]["names"]["plural"])
        self._collect()
        return gone

    def _may_go(self, resource: Resource, document: Json) -> bool:
        """Whether nothing keeps an object that is being deleted: finalizers, a grace period, or what it contains."""
        metadata = document["metadata"]
        if metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds"):
            return False
        if resource.collection == NAMESPACES:
            return not any(self.store.items(each, metadata["name"]) for each in self.store.collections())
        if resource.collection == DEFINITIONS:
            spec = document["spec"]
            return not self.store.items(f"{spec['group']}/{spec['names']['plural']}")
        return True

    def _check_preconditions(self, place: Place, old: Json, preconditions: Json) -> None:
        for field in ("uid", "resourceVersion"):
            wanted, actual = preconditions.get(field), old["metadata"][field]
            if wanted and wanted != actual:
                why = f"the {field} in the precondition ({wanted}) does not match the {field} in record ({actual})"
                raise conflict(place.resource.plural, place.resource.group, place.name, f"Precondition failed: {why}")

    def _require_namespace(self, namespace: str, resource: Resource, name: str) -> None:
        found = self.store.get(NAMESPACES, "", namespace)
        if found is None:
            raise not_found("namespaces", "", namespace)
        if is_being_deleted(found):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(resource.plural, resource.group, name, why)

    def _warnings(self, dropped: list[str], options: Options) -> tuple[str, ...]:
        if dropped and options.strict:
            raise objects.strict_error(dropped)
        return tuple(f'unknown field "{path.lstrip(".")}"' for path in dropped)

    def _accept_definition(self, definition: Json) -> None:
        _, causes = customtype.compile_definition(definition)
        if causes:
            raise invalid("CustomResourceDefinition", "apiextensions.k8s.io", definition["metadata"]["name"], causes)
        if not (definition.get("status") or {}).get("conditions"):
            definition["status"] = customtype.established(definition, now())

    def _after_write(self, resource: Resource, written: Json) -> None:
        if resource.collection == DEFINITIONS:
            self._serve(written)

    def _serve(self, definition: Json) -> None:
        resources, _ = customtype.compile_definition(definition)
        self.registry.put_custom(definition["spec"]["group"], definition["spec"]["names"]["plural"], resources)

    def _shown(self, resource: Resource, document: Json) -> Json:
        """As this version of the kind; the versions of a kind differ in name only, as without conversion webhooks."""
        if document.get("apiVersion") == resource.group_version:
            return document
        return document | {"apiVersion": resource.group_version, "kind": resource.kind}

    def _create_namespace(self, name: str) -> None:
        resource = self.registry.find("", "v1", "namespaces")
        assert resource is not None
        self.create(Place(resource, ""), {"metadata": {"name": name}}, Options())


def _place_of(resource: Resource, document: Json) -> Place:
    metadata = document["metadata"]
    return Place(resource, metadata.get("namespace", ""), metadata["name"])


def _added_finalizers(old: Json, new: Json) -> bool:
    return bool(set(new["metadata"].get("finalizers") or []) - set(old["metadata"].get("finalizers") or []))


def _marked(resource: Resource, old: Json, request: Json) -> Json:
    """The object with the marks of a deletion that was asked for."""
    dying: Json = clone(old)
    metadata = dying["metadata"]
    grace = pods.grace_seconds(old, request.get("gracePeriodSeconds")) if resource.plural == "pods" else 0
    before = metadata.get("deletionGracePeriodSeconds")
    if before is None or grace < before:
        metadata["deletionTimestamp"] = _in_seconds(grace)
        metadata["deletionGracePeriodSeconds"] = grace
    finalizer = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(request.get("propagationPolicy") or "")
    held = metadata.get("finalizers") or []
    if finalizer and finalizer not in held:
        metadata["finalizers"] = [*held, finalizer]
    if resource.collection == NAMESPACES:
        dying["status"] = {"phase": "Terminating"}
    return dying


def _in_seconds(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
