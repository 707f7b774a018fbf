"""Field managers of a sequence of updates, against a plain model that compares whole objects."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from darkroom_local.apiserver.apimachinery.unstructured import clone
from darkroom_local.apiserver.patching.field_sets import FieldType, Path, fields_of, find, from_fields_v1, is_item
from darkroom_local.apiserver.patching.server_side_apply import track
from darkroom_local.apiserver.resources.definitions import compile_definition

Json = dict[str, Any]

NUMBERS = {"type": "object", "additionalProperties": {"type": "integer"}}
ITEM = {"type": "object", "properties": {"type": {"type": "string"}, "n": {"type": "integer"}}}
KEYED = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"], "items": ITEM}
FIELDS = {
    "number": {"type": "integer"},
    "object": NUMBERS,
    "whole": NUMBERS | {"x-kubernetes-map-type": "atomic"},
    "keyed": KEYED,
    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    "list": {"type": "array", "items": {"type": "integer"}},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": FIELDS},
        "status": {"type": "object", "properties": FIELDS, "x-kubernetes-map-type": "atomic"},
    },
}
VERSION = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}
NAMES = {"plural": "things", "kind": "Thing"}
[THINGS], _ = compile_definition(
    {
        "metadata": {"name": "things.x.dev"},
        "spec": {"group": "x.dev", "scope": "Namespaced", "names": NAMES, "versions": [VERSION]},
    }
)
ROOT = FieldType.of(THINGS)

few = st.integers(0, 2)
letters = st.sampled_from("ab")
values = {
    "number": few,
    "object": st.dictionaries(letters, few, max_size=2),
    "whole": st.dictionaries(letters, few, max_size=2),
    "keyed": st.dictionaries(letters, few, max_size=2).map(lambda d: [{"type": k, "n": n} for k, n in d.items()]),
    "set": st.lists(letters, unique=True, max_size=2),
    "list": st.lists(few, max_size=2),
}
parts = st.fixed_dictionaries({}, optional=values)
bodies = st.fixed_dictionaries({}, optional={"spec": parts, "status": parts})


@given(updates=st.lists(st.tuples(st.sampled_from(["one", "two"]), bodies), min_size=1, max_size=5))
def test_each_field_is_managed_by_whom_changed_it_last(updates: list[tuple[str, Json]]) -> None:
    old: Json | None = None
    expected: dict[Path, str] = {}
    for writer, body in updates:
        new = clone(body) | {"metadata": {"name": "t"}}
        track(old, new, writer, THINGS)
        fields = fields_of(new, ROOT)
        unchanged = {
            path for path in expected if path in fields and (is_item(path) or find(old, path) == find(new, path))
        }
        expected = {path: expected[path] if path in unchanged else writer for path in fields}
        assert managers(new) == expected
        old = new


def managers(document: Json) -> dict[Path, str]:
    entries = document["metadata"]["managedFields"]
    return {path: each["manager"] for each in entries for path in from_fields_v1(each["fieldsV1"])}
