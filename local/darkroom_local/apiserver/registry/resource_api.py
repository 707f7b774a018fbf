"""The verbs of the API on stored objects: get, list, create, update, patch, apply, delete.

Everything runs on the event loop without awaiting, so a read and the write that follows it are atomic. A write based
on an older revision fails with 409.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from darkroom_local.apiserver.admission import chain, priority
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
from darkroom_local.apiserver.patching.patches import APPLY, STRATEGIC, apply_patch
from darkroom_local.apiserver.patching.server_side_apply import same_managers, server_side_apply, track
from darkroom_local.apiserver.registry import pods, strategy
from darkroom_local.apiserver.registry.deletion import check_preconditions, mark_for_deletion
from darkroom_local.apiserver.registry.request import RequestTarget, WriteOptions, WriteResult
from darkroom_local.apiserver.resources import definitions
from darkroom_local.apiserver.resources.event_views import to_stored, to_view
from darkroom_local.apiserver.resources.registry import Registry
from darkroom_local.apiserver.resources.resource import (
    DEFINITIONS,
    EVENTS,
    LEASES,
    NAMESPACES,
    PODS,
    SERVICE_ACCOUNTS,
    Resource,
)
from darkroom_local.apiserver.storage.store import Store, WindowExpiredError
from darkroom_local.apiserver.validation.decoding import decode_object

SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
VERSION_REQUIRED = frozenset({LEASES, DEFINITIONS})
"""Built-in kinds whose updates must contain a resourceVersion, as those of all custom kinds must."""


class ResourceApi:
    """All objects of all kinds. `collect` wakes the garbage collector."""

    def __init__(self, store: Store, registry: Registry, collect: Callable[[], None]) -> None:
        self.store, self.registry, self._collect = store, registry, collect
        for definition in store.items(DEFINITIONS):
            self._serve(definition)
        for name in SYSTEM_NAMESPACES:
            if store.get(NAMESPACES, "", name) is None:
                self._create_named("namespaces", name)
        for namespace in store.items(NAMESPACES):
            self._ensure_service_account(namespace)

    def get(self, target: RequestTarget) -> Json:
        document = self.store.get(target.resource.collection, target.namespace, target.name)
        if document is None:
            raise not_found(target.resource.plural, target.resource.group, target.name)
        return self.as_version(target.resource, document)

    def list_objects(self, target: RequestTarget, revision: int | None = None) -> list[Json]:
        """The objects of a namespace, or of all, now or at a revision. Raises 410 if that is no longer kept."""
        resource = target.resource
        namespace = target.namespace or None if resource.namespaced else None
        try:
            found = self.store.items_at(resource.collection, namespace, revision or self.store.revision)
        except WindowExpiredError as error:
            raise expired(f"The provided continue parameter is too old: {error}") from error
        return [self.as_version(resource, each) for each in found]

    def create(self, target: RequestTarget, body: Any, options: WriteOptions) -> WriteResult:
        return self._create(target, decode_object(target.resource, target.namespace, body), options)

    def update(self, target: RequestTarget, body: Any, options: WriteOptions) -> WriteResult:
        old = self.get(target)
        new = decode_object(target.resource, target.namespace, body)
        check_preconditions(target.resource, old, {"uid": new["metadata"].get("uid")})
        unconditional = not new["metadata"].get("resourceVersion")
        if unconditional and (target.resource.custom or target.resource.collection in VERSION_REQUIRED):
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(target.resource.kind, target.resource.group, target.name, [cause])
        return self._update(target, old, new, options)

    def patch(self, target: RequestTarget, content_type: str, patch: Any, options: WriteOptions) -> WriteResult:
        if content_type == APPLY:
            return self._apply(target, patch, options)
        old = self.get(target)
        new = apply_patch(content_type, clone(old), patch, target.resource)
        return self._update(target, old, decode_object(target.resource, target.namespace, new), options)

    def patch_status(self, target: RequestTarget, status: Json, options: WriteOptions) -> Json:
        """A strategic merge patch of the status, by the control plane."""
        return self.patch(target.subresource_of("status"), STRATEGIC, {"status": status}, options).document

    def bind(self, target: RequestTarget, body: Json) -> None:
        """The `binding` subresource of pods."""
        old = self.get(target)
        node = (body.get("target") or {}).get("name")
        if not node:
            raise bad_request("target.name is required")
        self._replace(target.resource, old, pods.bind(old, node))

    def delete(self, target: RequestTarget, request: Json) -> tuple[Json, bool]:
        """The last state of the object, and whether it is already removed."""
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
        return self._replace(resource, old, dying), False

    def finish_deletion(self, resource: Resource, document: Json) -> bool:
        """Remove an object that is being deleted, unless finalizers, a grace period or contents still keep it."""
        if not self._is_removable(resource, document):
            return False
        self._remove(resource, document, document)
        return True

    def replace_metadata(self, resource: Resource, old: Json, new: Json) -> None:
        """Write the garbage collector's change of an object's metadata."""
        self._update(RequestTarget.of(resource, old), old, new, WriteOptions(manager="garbage-collector"))

    def _create(self, target: RequestTarget, sent: Json, options: WriteOptions, applied: bool = False) -> WriteResult:
        resource = target.resource
        document = strategy.prepare_for_create(resource, sent)
        name = document["metadata"].get("name", "")
        if resource.namespaced:
            self._require_namespace(target.namespace, resource, name)
        dropped = strategy.default_and_validate(resource, document, None)
        if self.store.get(resource.collection, target.namespace, name) is not None:
            raise already_exists(resource.plural, resource.group, name)
        chain.admit(self.store, resource, document)
        if not applied:
            track(None, document, options.manager, resource)
        warnings = strategy.unknown_field_warnings(resource, dropped, options)
        if resource.collection == DEFINITIONS:
            self._establish(document)
        if options.dry_run:
            return WriteResult(document, warnings, created=True)
        written = self.store.create(resource.collection, to_stored(resource.collection, document))
        self._after_write(resource, written)
        return WriteResult(self.as_version(resource, written), warnings, created=True)

    def _apply(self, target: RequestTarget, body: Any, options: WriteOptions) -> WriteResult:
        resource, strict = target.resource, replace(options, strict=True)  # An unknown field can't be managed.
        sent = decode_object(resource, target.namespace, body)
        old = self.store.get(resource.collection, target.namespace, target.name)
        if old is None:
            return self._create_applied(target, sent, strict)
        old = self.as_version(resource, old)
        strategy.require_same_object(resource, old, sent)
        new = server_side_apply(
            clone(old), sent, options.manager, options.force, resource, subresource=target.subresource
        )
        return self._update(target, old, new, strict, applied=True)

    def _create_applied(self, target: RequestTarget, sent: Json, options: WriteOptions) -> WriteResult:
        resource = target.resource
        if target.subresource:
            raise not_found(resource.plural, resource.group, target.name)
        if sent["metadata"].get("uid"):
            uid = sent["metadata"]["uid"]
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise conflict(resource.plural, resource.group, target.name, why)
        options.may_create()
        made = server_side_apply(None, sent, options.manager, options.force, resource)
        made["metadata"]["name"] = target.name
        return self._create(target, made, options, applied=True)

    def _update(
        self, target: RequestTarget, old: Json, new: Json, options: WriteOptions, applied: bool = False
    ) -> WriteResult:
        resource = target.resource
        managed = new["metadata"].get("managedFields")
        new = strategy.prepare_for_update(resource, old, new, target.subresource)
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        if resource.collection == PODS:
            priority.keep_priority(new, old)
        dropped = strategy.default_and_validate(resource, new, old)
        strategy.bump_generation(resource, old, new)
        if not applied:
            track(old, new, options.manager, resource, target.subresource)
        warnings = strategy.unknown_field_warnings(resource, dropped, options)
        if strategy.is_unchanged(old, new) and same_managers(old, new):
            return WriteResult(old, warnings)
        if options.dry_run:
            return WriteResult(new, warnings)
        if resource.collection == DEFINITIONS and target.subresource != "status":
            self._establish(new)
        if is_being_deleted(new) and self._is_removable(resource, new):
            return WriteResult(self._remove(resource, old, new), warnings)
        return WriteResult(self._replace(resource, old, new), warnings)

    def _replace(self, resource: Resource, old: Json, new: Json) -> Json:
        stored = to_stored(resource.collection, new)
        written = self.store.replace(resource.collection, stored, old["metadata"]["resourceVersion"])
        self._after_write(resource, written, old)
        return self.as_version(resource, written)

    def _remove(self, resource: Resource, old: Json, last: Json) -> Json:
        stored = to_stored(resource.collection, last)
        removed = self.store.remove(resource.collection, stored, old["metadata"]["resourceVersion"])
        if resource.collection == DEFINITIONS:
            self.registry.drop_custom(removed["spec"]["group"], removed["spec"]["names"]["plural"])
        chain.update_quota_status(self.store, resource, removed)
        self._collect()
        return self.as_version(resource, removed)

    def _is_removable(self, resource: Resource, document: Json) -> bool:
        """Whether no finalizer, grace period or content keeps an object that is being deleted."""
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

    def _establish(self, definition: Json) -> None:
        """Set the status of a definition, in place. Raises 422 if it does not compile."""
        _, causes = definitions.compile_definition(definition)
        if causes:
            raise invalid("CustomResourceDefinition", "apiextensions.k8s.io", definition["metadata"]["name"], causes)
        definition["status"] = definitions.established(definition, now())

    def _after_write(self, resource: Resource, written: Json, old: Json | None = None) -> None:
        if resource.collection == DEFINITIONS:
            self._serve(written)
        if resource.collection == NAMESPACES:
            self._ensure_service_account(written)
        chain.update_quota_status(self.store, resource, written)
        if is_being_deleted(written) or list(owners(written)) != list(owners(old or {})):
            self._collect()  # A new owner may already be deleted.

    def _serve(self, definition: Json) -> None:
        resources, _ = definitions.compile_definition(definition)
        self.registry.put_custom(definition["spec"]["group"], definition["spec"]["names"]["plural"], resources)
        for resource in resources[:1]:  # All versions share one collection and, without conversion, one schema.
            self.store.transform(resource.collection, definitions.with_defaults(resource))

    def as_version(self, resource: Resource, document: Json) -> Json:
        """The object at this version. Without conversion webhooks, only Events have different fields per version."""
        if document.get("apiVersion") == resource.group_version:
            return document
        if resource.collection == EVENTS:
            return to_view(document, resource.group_version)
        return document | {"apiVersion": resource.group_version, "kind": resource.kind}

    def _ensure_service_account(self, namespace: Json) -> None:
        """Every namespace has a default ServiceAccount, for pods that name none."""
        name = namespace["metadata"]["name"]
        if not is_being_deleted(namespace) and self.store.get(SERVICE_ACCOUNTS, name, "default") is None:
            self._create_named("serviceaccounts", "default", name)

    def _create_named(self, plural: str, name: str, namespace: str = "") -> None:
        target = RequestTarget(self.registry.built_in("", plural), namespace)
        self.create(target, {"metadata": {"name": name}}, WriteOptions())
