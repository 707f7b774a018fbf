"""Structural schemas: pruning, defaults and the texts of violations."""

from typing import Any

import pytest

from darkroom_local.apiserver.apiextensions.structural_schema import StructuralSchema

Json = dict[str, Any]

SCHEMA: Json = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9},
                "ratio": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                "port": {"x-kubernetes-int-or-string": True},
                "note": {"type": "string", "nullable": True, "maxLength": 5},
                "kind": {"type": "string", "enum": ["A", "B"]},
                "code": {"type": "string", "pattern": "^[a-z]+$"},
                "since": {"type": "string", "format": "date-time"},
                "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
                "items": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"on": {"type": "boolean", "default": True}},
                    },
                },
                "inner": {
                    "type": "object",
                    "default": {},
                    "properties": {"depth": {"type": "integer", "default": 3}},
                },
                "byName": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {"weight": {"type": "integer", "default": 1}},
                    },
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    },
}
STRUCTURAL = StructuralSchema(SCHEMA)


def checked(**spec: Any) -> list[str]:
    return [str(cause) for cause in STRUCTURAL.validate({"spec": {"size": 1, **spec}})]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": 10}, "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9"),
        ({"size": "x"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"size": 1.5}, 'spec.size: Invalid value: "number": spec.size in body must be of type integer: "number"'),
        ({"size": None}, 'spec.size: Invalid value: "null": spec.size in body must be of type integer: "null"'),
        ({"ratio": 0}, "spec.ratio: Invalid value: 0: spec.ratio in body should be greater than 0"),
        ({"note": "longer"}, "spec.note: Too long: may not be more than 5 bytes"),
        ({"kind": "C"}, 'spec.kind: Unsupported value: "C": supported values: "A", "B"'),
        ({"code": "1"}, "spec.code: Invalid value: \"1\": spec.code in body should match '^[a-z]+$'"),
        ({"since": "today"}, 'spec.since: Invalid value: "today": spec.since in body must be of type date-time'),
        ({"tags": ["a", "b", "c"]}, "spec.tags: Too many: 3: must have at most 2 items"),
        (
            {"tags": [1]},
            'spec.tags[0]: Invalid value: "integer": spec.tags[0] in body must be of type string: "integer"',
        ),
        ({"items": [{"on": 1}]}, "spec.items[0].on"),
        ({"byName": {"x": {"weight": "y"}}}, "spec.byName.x.weight"),
        ({"port": 1.5}, "spec.port"),
    ],
)
def test_violation_has_the_text_of_kubernetes(spec: Json, message: str) -> None:
    [message] = checked(**spec)
    assert message.startswith(message)


@pytest.mark.parametrize(
    "spec",
    [
        {"size": 9},
        {"size": 2.0},
        {"ratio": 0.1},
        {"ratio": 1},
        {"note": None},
        {"port": 1},
        {"port": "http"},
        {"since": "2026-01-02T03:04:05Z"},
        {"tags": []},
        {"free": {"any": [{"thing": None}]}},
    ],
)
def test_valid_specs_pass(spec: Json) -> None:
    assert checked(**spec) == []


def test_all_violations_are_reported() -> None:
    assert len(checked(size=0, kind="C", note=5)) == 3


def test_missing_field_is_reported_by_its_path() -> None:
    assert [str(each) for each in STRUCTURAL.validate({"spec": {}})] == ["spec.size: Required value"]
    assert [str(each) for each in STRUCTURAL.validate({})] == ["spec: Required value"]


def test_defaults_are_set_in_maps_lists_and_default_objects() -> None:
    document: Json = {"spec": {"size": 1, "items": [{}, {"on": False}], "byName": {"x": {}}}}
    STRUCTURAL.default(document)
    assert document["spec"]["items"] == [{"on": True}, {"on": False}]
    assert document["spec"]["byName"] == {"x": {"weight": 1}}
    assert document["spec"]["inner"] == {"depth": 3}


def test_default_replaces_null_unless_the_field_is_nullable() -> None:
    document: Json = {"spec": {"size": 1, "inner": {"depth": None}, "note": None}}
    STRUCTURAL.default(document)
    assert document["spec"]["inner"] == {"depth": 3}
    assert document["spec"]["note"] is None


def test_defaults_are_not_shared_between_objects() -> None:
    first: Json = {"spec": {}}
    STRUCTURAL.default(first)
    first["spec"]["inner"]["depth"] = 99
    second: Json = {"spec": {}}
    STRUCTURAL.default(second)
    assert second["spec"]["inner"]["depth"] == 3


def test_unknown_fields_are_removed_and_reported() -> None:
    document: Json = {
        "apiVersion": "v1",
        "kind": "X",
        "metadata": {"name": "a"},
        "extra": 1,
        "spec": {"size": 1, "odd": 2, "items": [{"on": True, "odd": 3}], "byName": {"x": {"odd": 4}}},
    }
    dropped = STRUCTURAL.prune(document)
    assert dropped == ["extra", "spec.odd", "spec.items[0].odd", "spec.byName.x.odd"]
    assert document["spec"] == {"size": 1, "items": [{"on": True}], "byName": {"x": {}}}
    assert document["metadata"] == {"name": "a"}


def test_objects_that_preserve_unknown_fields_are_not_pruned() -> None:
    document: Json = {"spec": {"size": 1, "free": {"a": {"b": 1}}}}
    assert STRUCTURAL.prune(document) == []
    assert document["spec"]["free"] == {"a": {"b": 1}}
