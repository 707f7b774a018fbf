"""API discovery: the served groups, versions and resources. Pure functions of the registry."""

from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.resources.registry import TOKEN_REQUEST, Registry
from darkroom_local.apiserver.resources.resource import Resource

SUBRESOURCE_VERBS = {
    "status": ["get", "patch", "update"],
    "log": ["get"],
    "binding": ["create"],
    "eviction": ["create"],
    "token": ["create"],
}
SUBRESOURCE_KINDS = {"binding": "Binding", "eviction": "Eviction", "token": TOKEN_REQUEST.kind}
SUBRESOURCE_GROUPS = {
    "eviction": {"group": "policy", "version": "v1"},
    "token": {"group": TOKEN_REQUEST.group, "version": TOKEN_REQUEST.version},
}
"""Subresources whose body belongs to another group than their resource."""


def core_versions() -> Json:
    return {"kind": "APIVersions", "versions": ["v1"]}


def groups(registry: Registry) -> Json:
    listed = [_group(group, versions) for group, versions in registry.group_versions().items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(registry: Registry, name: str) -> Json | None:
    versions = registry.group_versions().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions and name else None


def resources(registry: Registry, group_name: str, version: str) -> Json | None:
    served = registry.of_version(group_name, version)
    if not served:
        return None
    entries = [entry for resource in served for entry in _entries(resource)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": served[0].group_version,
        "resources": entries,
    }


def _group(name: str, versions: list[str]) -> Json:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _entries(resource: Resource) -> list[Json]:
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return [entry, *(_subresource(resource, name) for name in resource.subresources)]


def _subresource(resource: Resource, name: str) -> Json:
    return {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": SUBRESOURCE_KINDS.get(name, resource.kind),
        "verbs": SUBRESOURCE_VERBS.get(name, ["get"]),
        **SUBRESOURCE_GROUPS.get(name, {}),
    }
