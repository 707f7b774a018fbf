"""Custom kinds: a definition compiled into what the server serves. Pure; kept in the registry beside each resource."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from darkroom_local.apiserver.apiextensions.cel_rules import MISSING, RuleInvalidError, RuleNode, compile_rules
from darkroom_local.apiserver.apiextensions.structural_schema import StructuralSchema
from darkroom_local.apiserver.apimachinery.errors import Cause, invalid_value, required_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, dig
from darkroom_local.apiserver.resources.registry import Resource


@dataclass(frozen=True)
class CustomType:
    """One version of a custom kind."""

    schema: Json
    columns: list[Json]
    structural: StructuralSchema
    rules: RuleNode | None

    def check(self, document: Json, old: Json | None) -> list[Cause]:
        """All that schema and rules have against a document. Rules are asked only when the types are right."""
        if causes := self.structural.check(document):
            return causes
        if self.rules is None:
            return []
        return list(self.rules.check(document, MISSING if old is None else old))


def compile_definition(definition: Json) -> tuple[list[Resource], list[Cause]]:
    """The resources that a definition adds, one a served version; and what is wrong with it."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    causes = [required_value(f"spec.{field}") for field in ("group", "scope", "versions") if not spec.get(field)]
    causes += [required_value(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    expected = f"{names.get('plural')}.{spec.get('group')}"
    if not causes and dig(definition, ("metadata", "name")) != expected:
        causes.append(invalid_value("metadata.name", definition["metadata"]["name"], f"must be {expected}"))
    if causes:
        return [], causes
    resources = []
    for number, version in enumerate(spec["versions"]):
        try:
            compiled = _compile_version(version)
        except (RuleInvalidError, ValueError, TypeError, AttributeError) as error:  # The last two: of a wrong shape.
            causes.append(Cause(f"spec.versions[{number}].schema.openAPIV3Schema", "FieldValueInvalid", str(error)))
            continue
        if version.get("served"):
            resources.append(_resource(spec, version, compiled))
    return resources, causes


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
    """How an object from before a definition was changed reads after it: with the defaults of today, as from etcd."""

    def shown(document: Json) -> Json:
        seen: Json = clone(document)
        if resource.custom:
            resource.custom.structural.default(seen)
        return seen

    return shown


def set_defaults(definition: Json) -> None:
    """The names that a definition leaves to the server, in place."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    if kind := names.get("kind"):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
        spec.setdefault("conversion", {"strategy": "None"})


def established(definition: Json, now: str) -> Json:
    """The status of a definition whose names are accepted and whose kinds are served."""
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
