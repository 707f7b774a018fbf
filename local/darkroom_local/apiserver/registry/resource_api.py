"""The verbs of the API on stored objects: create, read, update, patch, delete. Called by `routes.py`.

Everything runs on the event loop without awaiting, so that a read and the write that follows it are one step. A write
that was made on an older state is refused with 409.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from darkroom_local.apiserver.admission import chain, priority, resource_quota
from darkroom_local.apiserver.apimachinery.errors import (
    already_exists,
    bad_request,
    conflict,
    expired,
    forbidden,
    invalid,
    invalid_value,
    not_found,
)
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, is_being_deleted, now, owners
from darkroom_local.apiserver.patching.patches import APPLY, apply_patch
from darkroom_local.apiserver.patching.server_side_apply import same_managers, server_side_apply, track
from darkroom_local.apiserver.registry import strategy
from darkroom_local.apiserver.registry.deletion import check_preconditions, mark_for_deletion
from darkroom_local.apiserver.resources import definitions
from darkroom_local.apiserver.resources.registry import Registry, Resource
from darkroom_local.apiserver.storage.store import Store, WindowExpiredError
from darkroom_local.apiserver.validation import pods
from darkroom_local.apiserver.validation.decoding import decode_object

DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"
NAMESPACES = "/namespaces"
SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
VERSION_REQUIRED = frozenset({"coordination.k8s.io/leases", DEFINITIONS})
"""Built-in kinds that are replaced only by those who say which state they saw; custom kinds are such too."""


@dataclass(frozen=True)
class RequestTarget:
    """What a request is about."""

    resource: Resource
    namespace: str
    name: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, resource: Resource, document: Json) -> "RequestTarget":
        metadata = document["metadata"]
        return cls(resource, metadata.get("namespace", ""), metadata["name"])


@dataclass(frozen=True)
class WriteOptions:
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
class WriteResult:
    """An object as it is now, and what to warn of."""

    document: Json
    warnings: tuple[str, ...] = ()
    created: bool = False


class ResourceApi:
    """All objects and kinds. `collect` wakes the garbage collector (collector.py)."""

    def __init__(self, store: Store, registry: Registry, collect: Callable[[], None]) -> None:
        self.store, self.registry, self._collect = store, registry, collect
        for definition in store.items(DEFINITIONS):
            self._serve(definition)
        for name in SYSTEM_NAMESPACES:
            if store.get(NAMESPACES, "", name) is None:
                self._make("namespaces", name)
        for namespace in store.items(NAMESPACES):
            self._ensure_service_account(namespace)

    def get(self, target: RequestTarget) -> Json:
        document = self.store.get(target.resource.collection, target.namespace, target.name)
        if document is None:
            raise not_found(target.resource.plural, target.resource.group, target.name)
        return self._as_version(target.resource, document)

    def select(self, target: RequestTarget, revision: int | None = None) -> list[Json]:
        """The objects of a namespace or of all, now or as they were. Raises 410 when that isn't known any more."""
        resource = target.resource
        namespace = target.namespace or None if resource.namespaced else None
        try:
            found = self.store.items_at(resource.collection, namespace, revision or self.store.revision)
        except WindowExpiredError as error:
            raise expired(f"The provided continue parameter is too old: {error}") from error
        return [self._as_version(resource, each) for each in found]

    def create(self, target: RequestTarget, body: Any, options: WriteOptions) -> WriteResult:
        resource = target.resource
        return self._create(target, decode_object(resource, target.namespace, body), options)

    def _create(self, target: RequestTarget, sent: Json, options: WriteOptions, applied: bool = False) -> WriteResult:
        resource = target.resource
        document = strategy.prepare_for_create(resource, sent)
        name = document["metadata"].get("name", "")
        if resource.namespaced:
            self._require_namespace(target.namespace, resource, name)
        dropped = strategy.prepare(resource, document, None)
        if self.store.get(resource.collection, target.namespace, name) is not None:
            raise already_exists(resource.plural, resource.group, name)
        chain.admit(self.store, resource, document)
        if not applied:
            track(None, document, options.manager, resource)
        warnings = self._warnings(resource, dropped, options)
        if resource.collection == DEFINITIONS:
            self._accept_definition(document)
        if options.dry_run:
            return WriteResult(document, warnings, created=True)
        written = self.store.create(resource.collection, document)
        self._after_write(resource, written)
        return WriteResult(written, warnings, created=True)

    def update(self, target: RequestTarget, body: Any, options: WriteOptions) -> WriteResult:
        old = self.get(target)
        new = decode_object(target.resource, target.namespace, body)
        check_preconditions(target.resource, old, {"uid": new["metadata"].get("uid")})
        unconditional = not new["metadata"].get("resourceVersion")
        if unconditional and (target.resource.custom or target.resource.collection in VERSION_REQUIRED):
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(target.resource.kind, target.resource.group, target.name, [cause])
        return self._write(target, old, new, options)

    def patch(self, target: RequestTarget, content_type: str, patch: Any, options: WriteOptions) -> WriteResult:
        if content_type == APPLY:
            return self._apply(target, patch, options)
        old = self.get(target)
        new = apply_patch(content_type, clone(old), patch, target.resource)
        return self._write(target, old, decode_object(target.resource, target.namespace, new), options)

    def bind(self, target: RequestTarget, body: Json) -> None:
        """The `binding` subresource of pods."""
        old = self.get(RequestTarget(target.resource, target.namespace, target.name))
        node = (body.get("target") or {}).get("name")
        if not node:
            raise bad_request("target.name is required")
        self._store(target.resource, old, pods.bound(old, node))

    def delete(self, target: RequestTarget, request: Json) -> tuple[Json, bool]:
        """The object as it was last, and whether it is gone already."""
        resource, old = target.resource, self.get(target)
        check_preconditions(resource, old, request.get("preconditions") or {})
        if resource.collection == NAMESPACES and target.name in SYSTEM_NAMESPACES:
            raise forbidden(resource.plural, "", target.name, "this namespace may not be deleted")
        dying = mark_for_deletion(resource, old, request)
        if request.get("dryRun"):
            return dying, False
        if self._is_removable(resource, dying):
            return self._remove(resource, old, dying), True
        if strategy.is_unchanged(old, dying):
            return old, False
        return self._store(resource, old, dying), False

    def finish_deletion(self, resource: Resource, document: Json) -> bool:
        """Remove an object that is being deleted, unless something holds it still."""
        if not self._is_removable(resource, document):
            return False
        self._remove(resource, document, document)
        return True

    def replace(self, resource: Resource, old: Json, new: Json) -> Json:
        """For the collector: write a change of metadata."""
        return self._write(
            RequestTarget.of(resource, old), old, new, WriteOptions(manager="garbage-collector")
        ).document

    def _apply(self, target: RequestTarget, body: Any, options: WriteOptions) -> WriteResult:
        resource, strict = target.resource, replace(options, strict=True)  # An unknown field can't be managed.
        sent = decode_object(resource, target.namespace, body)
        old = self.store.get(resource.collection, target.namespace, target.name)
        if old is None:
            if target.subresource:
                raise not_found(resource.plural, resource.group, target.name)
            if sent["metadata"].get("uid"):
                why = f"uid mismatch: the provided object specified uid {sent['metadata']['uid']}, and there is none"
                raise conflict(resource.plural, resource.group, target.name, why)
            options.may_create()
            made = server_side_apply(None, sent, options.manager, options.force, resource)
            made["metadata"]["name"] = target.name
            return self._create(target, made, strict, applied=True)
        strategy.require_same_object(resource, old, sent)
        new = server_side_apply(
            clone(old), sent, options.manager, options.force, resource, subresource=target.subresource
        )
        return self._write(target, old, new, strict, applied=True)

    def _write(
        self, target: RequestTarget, old: Json, new: Json, options: WriteOptions, applied: bool = False
    ) -> WriteResult:
        resource = target.resource
        managed = new["metadata"].get("managedFields")
        new = strategy.prepare_for_update(resource, old, new, target.subresource)
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        if resource.collection == resource_quota.PODS:
            priority.keep_priority(new, old)
        dropped = strategy.prepare(resource, new, old)
        strategy.bump_generation(resource, old, new)
        if not applied:
            track(old, new, options.manager, resource, target.subresource)
        warnings = self._warnings(resource, dropped, options)
        if strategy.is_unchanged(old, new) and same_managers(old, new):
            return WriteResult(old, warnings)
        if options.dry_run:
            return WriteResult(new, warnings)
        if resource.collection == DEFINITIONS and target.subresource != "status":
            self._accept_definition(new)
        if is_being_deleted(new) and self._is_removable(resource, new):
            return WriteResult(self._remove(resource, old, new), warnings)
        return WriteResult(self._store(resource, old, new), warnings)

    def _store(self, resource: Resource, old: Json, new: Json) -> Json:
        written = self.store.replace(resource.collection, new, old["metadata"]["resourceVersion"])
        self._after_write(resource, written)
        return written

    def _remove(self, resource: Resource, old: Json, last: Json) -> Json:
        gone = self.store.remove(resource.collection, last, old["metadata"]["resourceVersion"])
        if resource.collection == DEFINITIONS:
            self.registry.drop_custom(gone["spec"]["group"], gone["spec"]["names"]["plural"])
        chain.update_quota_status(self.store, resource, gone)
        self._collect()
        return gone

    def _is_removable(self, resource: Resource, document: Json) -> bool:
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

    def _warnings(self, resource: Resource, dropped: list[str], options: WriteOptions) -> tuple[str, ...]:
        if dropped and options.strict:
            raise strategy.strict_error(resource, dropped)
        return tuple(f'unknown field "{path}"' for path in dropped) if options.warn else ()

    def _accept_definition(self, definition: Json) -> None:
        _, causes = definitions.compile_definition(definition)
        if causes:
            raise invalid("CustomResourceDefinition", "apiextensions.k8s.io", definition["metadata"]["name"], causes)
        definition["status"] = definitions.established(definition, now())

    def _after_write(self, resource: Resource, written: Json) -> None:
        if resource.collection == DEFINITIONS:
            self._serve(written)
        if resource.collection == NAMESPACES:
            self._ensure_service_account(written)
        chain.update_quota_status(self.store, resource, written)
        if is_being_deleted(written) or next(owners(written), None):
            self._collect()  # Its owner may be gone already.

    def _serve(self, definition: Json) -> None:
        resources, _ = definitions.compile_definition(definition)
        self.registry.put_custom(definition["spec"]["group"], definition["spec"]["names"]["plural"], resources)
        for resource in resources[:1]:  # The versions share a collection, and without conversion one schema.
            self.store.transform(resource.collection, definitions.with_defaults(resource))

    def _as_version(self, resource: Resource, document: Json) -> Json:
        """As this version of the kind; the versions of a kind differ in name only, as without conversion webhooks."""
        if document.get("apiVersion") == resource.group_version:
            return document
        return document | {"apiVersion": resource.group_version, "kind": resource.kind}

    def _ensure_service_account(self, namespace: Json) -> None:
        """Every namespace has the ServiceAccount of those that name none."""
        name = namespace["metadata"]["name"]
        if not is_being_deleted(namespace) and self.store.get("/serviceaccounts", name, "default") is None:
            self._make("serviceaccounts", "default", name)

    def _make(self, plural: str, name: str, namespace: str = "") -> None:
        resource = self.registry.find("", "v1", plural)
        assert resource is not None
        self.create(RequestTarget(resource, namespace), {"metadata": {"name": name}}, WriteOptions())
