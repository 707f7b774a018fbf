"""Structural schemas: validation, defaulting and pruning of custom resources. Pure; compiled once per version."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from darkroom_local.apiserver.apimachinery.errors import Cause, invalid_value, required_value, unsupported_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
COPIED = frozenset(
    {"enum", "format", "maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "multipleOf", "maxLength"}
    | {"minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "required"}
)
"""Keywords with the same meaning in JSON Schema."""


def to_json_schema(schema: Json) -> Json:
    """The JSON Schema that accepts the same documents."""
    made: Json = {key: value for key, value in schema.items() if key in COPIED}
    for limit in ("Minimum", "Maximum"):  # Booleans in OpenAPI v3, numbers in JSON Schema.
        if made.pop(f"exclusive{limit}", False) is True:
            made[f"exclusive{limit}"] = made.pop(limit.lower())
    if "type" in schema:
        made["type"] = schema["type"]
    elif schema.get(INT_OR_STRING):
        made["type"] = ["integer", "string"]
    if "properties" in schema:
        made["properties"] = {name: to_json_schema(child) for name, child in schema["properties"].items()}
    for keyword in ("additionalProperties", "items", "not"):
        if isinstance(schema.get(keyword), dict):
            made[keyword] = to_json_schema(schema[keyword])
    for junction in ("allOf", "anyOf", "oneOf"):
        if junction in schema:
            made[junction] = [to_json_schema(each) for each in schema[junction]]
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") else made


class StructuralSchema:
    """One version's schema, compiled."""

    def __init__(self, schema: Json) -> None:
        self.schema = schema
        self._validator = jsonschema_rs.Draft202012Validator(to_json_schema(schema), validate_formats=True)

    def validate(self, document: Json) -> list[Cause]:
        """All violations of a document, except of its metadata."""
        body = {key: value for key, value in document.items() if key != "metadata"}
        return [_cause(error) for error in _leaves(self._validator.iter_errors(body))]

    def default(self, document: Json) -> None:
        """Set defaults, in place, except in the metadata."""
        _default(document, self.schema, is_root=True)

    def prune(self, document: Json) -> list[str]:
        """Remove fields that the schema does not specify, in place; returns their paths."""
        return list(_prune(document, self.schema, "", is_root=True))


def _default(value: Any, schema: Json, is_root: bool = False) -> None:
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if is_root and name in ("metadata", "apiVersion", "kind"):
                continue
            missing = name not in value or (value[name] is None and not child.get("nullable"))
            if missing and "default" in child:
                value[name] = clone(child["default"])
            if name in value:
                _default(value[name], child)
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                _default(value[name], others)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            _default(item, schema["items"])


def _prune(value: Any, schema: Json, path: str, is_root: bool = False) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _prune(item, schema.get("items") or {}, f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    own = {"apiVersion", "kind", "metadata"} if is_root or schema.get(EMBEDDED) else set()
    for name in list(value):
        here = f"{path}.{name}" if path else name
        if name in own:
            continue
        if name in properties:
            yield from _prune(value[name], properties[name], here)
        elif isinstance(others, dict):
            yield from _prune(value[name], others, here)
        elif not (others is True or schema.get(PRESERVE)):
            del value[name]
            yield here


def _leaves(errors: Any) -> Iterator[Any]:
    """The errors; of a nullable's two branches only those of the branch that isn't null."""
    for error in errors:
        kind = error.kind
        if kind.name == "anyOf" and len(kind.context) == 2 and _is_null_branch(kind.context[1]):
            yield from _leaves(kind.context[0])
        else:
            yield error


def _is_null_branch(errors: Any) -> bool:
    return len(errors) == 1 and errors[0].kind.name == "type" and list(errors[0].kind.types) == ["null"]


def _field(path: list[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "<nil>"


def _cause(error: Any) -> Cause:
    """A violation with the text of Kubernetes (kube-openapi's validation, converted by apiextensions)."""
    field, kind, value = _field(list(error.instance_path)), error.kind, error.instance
    match kind.name:
        case "required":
            return required_value(f"{field}.{kind.property}" if field != "<nil>" else kind.property)
        case "type":
            return _wrong_type(field, kind.types, value)
        case "enum":
            return unsupported_value(field, value, kind.options)
        case "maxLength":
            return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {kind.limit} bytes")
        case "maxItems" | "maxProperties":
            text = f"Too many: {len(value)}: must have at most {kind.limit} items"
            return Cause(field, "FieldValueTooMany", text)
        case _:
            return invalid_value(field, value, f"{field} in body {_expectation(kind)}")


def _wrong_type(field: str, types: Any, value: Any) -> Cause:
    wanted = ",".join(types) if isinstance(types, list | tuple) else str(types)
    given = json.dumps(_type_name(value))
    text = f"Invalid value: {given}: {field} in body must be of type {wanted}: {given}"
    return Cause(field, "FieldValueTypeInvalid", text)


def _type_name(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


EXPECTATIONS = {
    "minimum": "should be greater than or equal to {limit:.12g}",
    "maximum": "should be less than or equal to {limit:.12g}",
    "exclusiveMinimum": "should be greater than {limit:.12g}",
    "exclusiveMaximum": "should be less than {limit:.12g}",
    "multipleOf": "should be a multiple of {multiple_of:.12g}",
    "minLength": "should be at least {limit} chars long",
    "minItems": "should have at least {limit} items",
    "minProperties": "should have at least {limit} properties",
    "pattern": "should match '{pattern}'",
    "format": "must be of type {format}",
    "uniqueItems": "shouldn't contain duplicates",
}


def _expectation(kind: Any) -> str:
    template = EXPECTATIONS.get(kind.name, "must validate the schema ({name})")
    names = ("name", "limit", "multiple_of", "pattern", "format")
    return template.format(**{name: getattr(kind, name) for name in names if hasattr(kind, name)})
