"""The verbs of the API on stored objects: create, read, update, patch, delete. Called by `routes.py`.

Everything runs on the event loop without awaiting, so that a read and the write that follows it are one step. A write
that was made on an older state is refused with 409.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from darkroom_local.apiserver import admission, customtype, event_views, objects, pods, priorities, quotas
from darkroom_local.apiserver.apply import same_managers, server_side_apply, track
from darkroom_local.apiserver.deletion import check_preconditions, marked
from darkroom_local.apiserver.documents import Json, clone, is_being_deleted, now, owners
from darkroom_local.apiserver.envelope import check_envelope
from darkroom_local.apiserver.errors import (
    already_exists,
    bad_request,
    conflict,
    expired,
    forbidden,
    invalid,
    invalid_value,
    not_found,
)
from darkroom_local.apiserver.event_views import kept
from darkroom_local.apiserver.patches import APPLY, apply_patch
from darkroom_local.apiserver.registry import Registry, Resource
from darkroom_local.apiserver.store import Store, WindowExpiredError

DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"
NAMESPACES = "/namespaces"
KEPT_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
CONDITIONAL = frozenset({"coordination.k8s.io/leases", DEFINITIONS})
"""Built-in kinds that are replaced only by those who say which state they saw; custom kinds are such too."""


@dataclass(frozen=True)
class Place:
    """What a request is about."""

    resource: Resource
    namespace: str
    name: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, resource: Resource, document: Json) -> "Place":
        metadata = document["metadata"]
        return cls(resource, metadata.get("namespace", ""), metadata["name"])


@dataclass(frozen=True)
class Options:
    """What the query of a writing request asks for."""

    dry_run: bool = False
    strict: bool = False
    """Unknown fields are an error."""
    warn: bool = True
    """Unknown fields are told of."""
    manager: str = "unknown"
    force: bool = False
    may_create: Callable[[], None] = lambda: None
    """Raises 403 when the writer may not create; asked when what he applies is not there."""


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
        for name in KEPT_NAMESPACES:
            if store.get(NAMESPACES, "", name) is None:
                self._make("namespaces", name)
        for namespace in store.items(NAMESPACES):
            self._furnish(namespace)

    def get(self, place: Place) -> Json:
        document = self.store.get(place.resource.collection, place.namespace, place.name)
        if document is None:
            raise not_found(place.resource.plural, place.resource.group, place.name)
        return self.shown(place.resource, document)

    def select(self, place: Place, revision: int | None = None) -> list[Json]:
        """The objects of a namespace or of all, now or as they were. Raises 410 when that isn't known any more."""
        resource = place.resource
        namespace = place.namespace or None if resource.namespaced else None
        try:
            found = self.store.items_at(resource.collection, namespace, revision or self.store.revision)
        except WindowExpiredError as error:
            raise expired(f"The provided continue parameter is too old: {error}") from error
        return [self.shown(resource, each) for each in found]

    def create(self, place: Place, body: Any, options: Options) -> Written:
        resource = place.resource
        return self._create(place, check_envelope(resource, place.namespace, body), options)

    def _create(self, place: Place, sent: Json, options: Options, applied: bool = False) -> Written:
        resource = place.resource
        document = objects.born(resource, sent)
        name = document["metadata"].get("name", "")
        if resource.namespaced:
            self._require_namespace(place.namespace, resource, name)
        dropped = objects.prepare(resource, document, None)
        if self.store.get(resource.collection, place.namespace, name) is not None:
            raise already_exists(resource.plural, resource.group, name)
        admission.admit(self.store, resource, document)
        if not applied:
            track(None, document, options.manager, resource)
        warnings = self._warnings(resource, dropped, options)
        if resource.collection == DEFINITIONS:
            self._accept_definition(document)
        if options.dry_run:
            return Written(document, warnings, created=True)
        written = self.store.create(resource.collection, kept(resource.collection, document))
        self._after_write(resource, written)
        return Written(self.shown(resource, written), warnings, created=True)

    def update(self, place: Place, body: Any, options: Options) -> Written:
        old = self.get(place)
        new = check_envelope(place.resource, place.namespace, body)
        check_preconditions(place.resource, old, {"uid": new["metadata"].get("uid")})
        unconditional = not new["metadata"].get("resourceVersion")
        if unconditional and (place.resource.custom or place.resource.collection in CONDITIONAL):
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(place.resource.kind, place.resource.group, place.name, [cause])
        return self._write(place, old, new, options)

    def patch(self, place: Place, content_type: str, patch: Any, options: Options) -> Written:
        if content_type == APPLY:
            return self._apply(place, patch, options)
        old = self.get(place)
        new = apply_patch(content_type, clone(old), patch, place.resource)
        return self._write(place, old, check_envelope(place.resource, place.namespace, new), options)

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
        check_preconditions(resource, old, request.get("preconditions") or {})
        if resource.collection == NAMESPACES and place.name in KEPT_NAMESPACES:
            raise forbidden(resource.plural, "", place.name, "this namespace may not be deleted")
        dying = marked(resource, old, request)
        if request.get("dryRun"):
            return dying, False
        if self._may_go(resource, dying):
            return self._remove(resource, old, dying), True
        if objects.is_unchanged(old, dying):
            return old, False
        return self._store(resource, old, dying), False

    def finish_deletion(self, resource: Resource, document: Json) -> bool:
        """Remove an object that is being deleted, unless something holds it still."""
        if not self._may_go(resource, document):
            return False
        self._remove(resource, document, document)
        return True

    def replace(self, resource: Resource, old: Json, new: Json) -> Json:
        """For the collector: write a change of metadata."""
        return self._write(Place.of(resource, old), old, new, Options(manager="garbage-collector")).document

    def _apply(self, place: Place, body: Any, options: Options) -> Written:
        resource, strict = place.resource, replace(options, strict=True)  # An unknown field can't be managed.
        sent = check_envelope(resource, place.namespace, body)
        old = self.store.get(resource.collection, place.namespace, place.name)
        if old is None:
            if place.subresource:
                raise not_found(resource.plural, resource.group, place.name)
            if sent["metadata"].get("uid"):
                why = f"uid mismatch: the provided object specified uid {sent['metadata']['uid']}, and there is none"
                raise conflict(resource.plural, resource.group, place.name, why)
            options.may_create()
            made = server_side_apply(None, sent, options.manager, options.force, resource)
            made["metadata"]["name"] = place.name
            return self._create(place, made, strict, applied=True)
        old = self.shown(resource, old)
        objects.require_same(resource, old, sent)
        new = server_side_apply(
            clone(old), sent, options.manager, options.force, resource, subresource=place.subresource
        )
        return self._write(place, old, new, strict, applied=True)

    def _write(self, place: Place, old: Json, new: Json, options: Options, applied: bool = False) -> Written:
        resource = place.resource
        managed = new["metadata"].get("managedFields")
        new = objects.succeed(resource, old, new, place.subresource)
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        if resource.collection == quotas.PODS:
            priorities.keep_priority(new, old)
        dropped = objects.prepare(resource, new, old)
        objects.count_generation(resource, old, new)
        if not applied:
            track(old, new, options.manager, resource, place.subresource)
        warnings = self._warnings(resource, dropped, options)
        if objects.is_unchanged(old, new) and same_managers(old, new):
            return Written(old, warnings)
        if options.dry_run:
            return Written(new, warnings)
        if resource.collection == DEFINITIONS and place.subresource != "status":
            self._accept_definition(new)
        if is_being_deleted(new) and self._may_go(resource, new):
            return Written(self._remove(resource, old, new), warnings)
        return Written(self._store(resource, old, new), warnings)

    def _store(self, resource: Resource, old: Json, new: Json) -> Json:
        written = self.store.replace(
            resource.collection, kept(resource.collection, new), old["metadata"]["resourceVersion"]
        )
        self._after_write(resource, written)
        return self.shown(resource, written)

    def _remove(self, resource: Resource, old: Json, last: Json) -> Json:
        gone = self.store.remove(
            resource.collection, kept(resource.collection, last), old["metadata"]["resourceVersion"]
        )
        if resource.collection == DEFINITIONS:
            self.registry.drop_custom(gone["spec"]["group"], gone["spec"]["names"]["plural"])
        admission.recount(self.store, resource, gone)
        self._collect()
        return self.shown(resource, gone)

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

    def _require_namespace(self, namespace: str, resource: Resource, name: str) -> None:
        found = self.store.get(NAMESPACES, "", namespace)
        if found is None:
            raise not_found("namespaces", "", namespace)
        if is_being_deleted(found):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(resource.plural, resource.group, name, why)

    def _warnings(self, resource: Resource, dropped: list[str], options: Options) -> tuple[str, ...]:
        if dropped and options.strict:
            raise objects.strict_error(resource, dropped)
        return tuple(f'unknown field "{path}"' for path in dropped) if options.warn else ()

    def _accept_definition(self, definition: Json) -> None:
        _, causes = customtype.compile_definition(definition)
        if causes:
            raise invalid("CustomResourceDefinition", "apiextensions.k8s.io", definition["metadata"]["name"], causes)
        definition["status"] = customtype.established(definition, now())

    def _after_write(self, resource: Resource, written: Json) -> None:
        if resource.collection == DEFINITIONS:
            self._serve(written)
        if resource.collection == NAMESPACES:
            self._furnish(written)
        admission.recount(self.store, resource, written)
        if is_being_deleted(written) or next(owners(written), None):
            self._collect()  # Its owner may be gone already.

    def _serve(self, definition: Json) -> None:
        resources, _ = customtype.compile_definition(definition)
        self.registry.put_custom(definition["spec"]["group"], definition["spec"]["names"]["plural"], resources)
        for resource in resources[:1]:  # The versions share a collection, and without conversion one schema.
            self.store.see_as(resource.collection, customtype.with_defaults(resource))

    def shown(self, resource: Resource, document: Json) -> Json:
        """In this version of its kind. Versions differ in name only (no conversion webhooks), but for Events."""
        if document.get("apiVersion") == resource.group_version:
            return document
        if resource.collection == event_views.COLLECTION:
            return event_views.to_view(document, resource.group_version)
        return document | {"apiVersion": resource.group_version, "kind": resource.kind}

    def _furnish(self, namespace: Json) -> None:
        """Every namespace has the ServiceAccount of those that name none."""
        name = namespace["metadata"]["name"]
        if not is_being_deleted(namespace) and self.store.get("/serviceaccounts", name, "default") is None:
            self._make("serviceaccounts", "default", name)

    def _make(self, plural: str, name: str, namespace: str = "") -> None:
        resource = self.registry.find("", "v1", plural)
        assert resource is not None
        self.create(Place(resource, namespace), {"metadata": {"name": name}}, Options())
