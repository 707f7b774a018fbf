"""OpenAPI v3 documents for `kubectl explain` and `kubectl apply`. Pure functions of the registry.

Custom kinds have their schemas; built-in kinds have none beyond the envelope, since this server validates no more.
"""

from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.resources.registry import Registry
from darkroom_local.apiserver.resources.resource import Resource

METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
ENVELOPE = {
    "apiVersion": {
        "type": "string",
        "description": "APIVersion defines the versioned schema of this representation of an object.",
    },
    "kind": {"type": "string", "description": "Kind is the REST resource that this object represents."},
    "metadata": {"description": "Standard object's metadata.", "allOf": [{"$ref": f"#/components/schemas/{METADATA}"}]},
}

EMPTY_V2: Json = {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "unversioned"}, "paths": {}}
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
EMPTY_V2_PROTOBUF = b"\x0a\x032.0"
"""The required part of the same document: field 1, `swagger`, of openapi.v2.Document."""


def index(registry: Registry) -> Json:
    paths = {}
    for group, versions in registry.group_versions().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}"}
    return {"paths": paths}


def document(registry: Registry, group: str, version: str) -> Json:
    schemas: Json = {
        METADATA: {
            "type": "object",
            "description": "ObjectMeta is metadata that all persisted resources must have.",
            "x-kubernetes-preserve-unknown-fields": True,
        }
    }
    paths: Json = {}
    for resource in registry.of_version(group, version):
        schemas[_schema_name(resource)] = _schema(resource)
        paths |= _paths(resource)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _schema_name(resource: Resource) -> str:
    group = ".".join(reversed(resource.group.split("."))) or "io.k8s.api.core"
    return f"{group}.{resource.version}.{resource.kind}"


def _identity(resource: Resource) -> Json:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _schema(resource: Resource) -> Json:
    if resource.custom is None:
        schema: Json = {"type": "object", "properties": ENVELOPE, "x-kubernetes-preserve-unknown-fields": True}
    else:
        properties = {**resource.custom.schema.get("properties", {}), **ENVELOPE}
        schema = {**resource.custom.schema, "properties": properties}
    return {**schema, "x-kubernetes-group-version-kind": [_identity(resource)]}


def _paths(resource: Resource) -> Json:
    """The paths of a kind. `kubectl` looks for `fieldValidation` among the parameters of a patch."""
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    namespace = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"{root}{namespace}/{resource.plural}"
    if not resource.is_stored:
        return {collection: {"post": _operation(resource, "post")}}
    return {
        collection: {"post": _operation(resource, "post"), "get": _operation(resource, "list")},
        f"{collection}/{{name}}": {verb: _operation(resource, verb) for verb in ("get", "put", "patch", "delete")},
    }


def _operation(resource: Resource, action: str) -> Json:
    names = ["dryRun", "fieldManager", "fieldValidation"] if action in ("post", "put", "patch") else []
    operation: Json = {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _identity(resource),
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
        "responses": {
            "200": {
                "description": "OK",
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_schema_name(resource)}"}}},
            }
        },
    }
    return operation
