"""CustomResourceDefinitions: compiles them into resources, sets their defaults and their status. Pure."""

from collections.abc import Callable
from typing import Any

from darkroom_local.apiserver.apiextensions.cel_rules import RuleInvalidError, compile_rules
from darkroom_local.apiserver.apiextensions.custom_type import CustomType
from darkroom_local.apiserver.apiextensions.structural_schema import StructuralSchema
from darkroom_local.apiserver.apimachinery.errors import Cause, invalid_value, required_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, dig
from darkroom_local.apiserver.resources.resource import Resource


def compile_definition(definition: Json) -> tuple[list[Resource], list[Cause]]:
    """The resources that a definition adds, one per served version, and its errors."""
    spec = definition.get("spec") or {}
    if causes := _name_causes(definition, spec):
        return [], causes
    resources = []
    for number, version in enumerate(spec["versions"]):
        try:
            compiled = _compile_version(version)
        except (RuleInvalidError, ValueError, TypeError, AttributeError) as error:  # The last two: malformed.
            causes.append(Cause(f"spec.versions[{number}].schema.openAPIV3Schema", "FieldValueInvalid", str(error)))
            continue
        if version.get("served"):
            resources.append(_resource(spec, version, compiled))
    return resources, causes


def _name_causes(definition: Json, spec: Json) -> list[Cause]:
    names = spec.get("names") or {}
    causes = [required_value(f"spec.{field}") for field in ("group", "scope", "versions") if not spec.get(field)]
    causes += [required_value(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    expected = f"{names.get('plural')}.{spec.get('group')}"
    if not causes and dig(definition, ("metadata", "name")) != expected:
        causes.append(invalid_value("metadata.name", definition["metadata"]["name"], f"must be {expected}"))
    return causes


def _compile_version(version: Json) -> CustomType:
    schema = dig(version, ("schema", "openAPIV3Schema"))
    if not isinstance(schema, dict):
        raise ValueError("Required value: schemas are required")
    return CustomType(
        schema=schema,
        columns=version.get("additionalPrinterColumns") or [],
        structural=StructuralSchema(schema),
        rules=compile_rules(schema),
    )


def _resource(spec: Json, version: Json, compiled: CustomType) -> Resource:
    names: dict[str, Any] = spec["names"]
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(version.get("subresources") or ()),
        fields=frozenset(each["jsonPath"].lstrip(".") for each in version.get("selectableFields") or []),
        has_generation=True,
        singular=names.get("singular") or "",
        list_kind=names.get("listKind") or "",
        custom=compiled,
    )


def with_defaults(resource: Resource) -> Callable[[Json], Json]:
    """Applies the current defaults to stored objects, as Kubernetes does when it reads from etcd."""

    def defaulted(document: Json) -> Json:
        result: Json = clone(document)
        if resource.custom:
            resource.custom.structural.default(result)
        return result

    return defaulted


def set_defaults(definition: Json) -> None:
    """Set the default names and conversion strategy, in place."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    if kind := names.get("kind"):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
        spec.setdefault("conversion", {"strategy": "None"})


def established(definition: Json, now: str) -> Json:
    """The status of a definition that is accepted and served."""
    spec, before = definition["spec"], definition.get("status") or {}
    common = {"status": "True", "lastTransitionTime": now}
    stored = [each["name"] for each in spec["versions"] if each.get("storage")]
    return {
        "acceptedNames": spec["names"],
        "storedVersions": list(dict.fromkeys([*(before.get("storedVersions") or []), *stored])),
        "conditions": before.get("conditions")
        or [
            {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found", **common},
            {
                "type": "Established",
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
                **common,
            },
        ],
    }
