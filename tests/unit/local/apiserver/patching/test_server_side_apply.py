"""Field sets and field managers as pure functions."""

import json
from typing import Any

import pytest

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.apimachinery.unstructured import clone
from darkroom_local.apiserver.patching.field_sets import (
    FieldType,
    fields_of,
    find,
    from_fields_v1,
    remove,
    to_fields_v1,
)
from darkroom_local.apiserver.patching.server_side_apply import LAST_APPLIED, server_side_apply, track
from darkroom_local.apiserver.resources.definitions import compile_definition
from darkroom_local.apiserver.resources.registry import Registry
from darkroom_local.apiserver.resources.resource import Resource

Json = dict[str, Any]

KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {"type": "object", "properties": {"type": {"type": "string"}, "status": {"type": "string"}}},
}
SPEC = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {"type": "object", "properties": {"c": {"type": "integer"}}},
        "atomic": {"type": "array", "items": {"type": "string"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "keyed": KEYED,
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
    },
}
DEFINITION = {
    "metadata": {"name": "things.x.dev"},
    "spec": {
        "group": "x.dev",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": SPEC}}},
            }
        ],
    },
}
[THINGS], _ = compile_definition(DEFINITION)


def pods() -> Resource:
    found = Registry().find("", "v1", "pods")
    assert found is not None
    return found


def thing(**spec: Any) -> Json:
    return {"apiVersion": "x.dev/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}


def applied(current: Json | None, wanted: Json, who: str = "one", force: bool = False, subresource: str = "") -> Json:
    return server_side_apply(clone(current), wanted, who, force, THINGS, subresource)


def holders(document: Json, field: str) -> set[str]:
    """The managers of a field of the spec."""
    path = ("f:spec", *(f"f:{part}" for part in field.split(".")))
    return {
        each["manager"] for each in document["metadata"]["managedFields"] if path in from_fields_v1(each["fieldsV1"])
    }


def test_field_set_contains_leaves_items_and_members() -> None:
    document = thing(a=1, b={}, atomic=["x"], set=["y"], keyed=[{"type": "T", "status": "S"}], whole={"k": "v"})
    paths = {"/".join(path) for path in fields_of(document, FieldType.of(THINGS))}
    assert paths == {
        "f:spec/f:a",
        "f:spec/f:b",
        "f:spec/f:atomic",
        'f:spec/f:set/v:"y"',
        'f:spec/f:keyed/k:{"type":"T"}',
        'f:spec/f:keyed/k:{"type":"T"}/f:type',
        'f:spec/f:keyed/k:{"type":"T"}/f:status',
        "f:spec/f:whole",
    }


def test_fields_v1_round_trip() -> None:
    fields = fields_of(thing(a=1, set=["y"], keyed=[{"type": "T", "status": "S"}]), FieldType.of(THINGS))
    assert from_fields_v1(json.loads(json.dumps(to_fields_v1(fields)))) == fields


def test_built_in_lists_are_typed_by_their_names() -> None:
    pod = {"spec": {"containers": [{"name": "m", "env": [{"name": "A", "value": "1"}], "args": ["x"]}]}}
    paths = {"/".join(path) for path in fields_of(pod, FieldType.of(pods()))}
    assert 'f:spec/f:containers/k:{"name":"m"}/f:env/k:{"name":"A"}/f:value' in paths
    assert 'f:spec/f:containers/k:{"name":"m"}/f:args' in paths


def test_path_finds_and_removes_a_value_and_empty_parents() -> None:
    document = thing(b={"c": 1}, set=["y", "z"], keyed=[{"type": "T"}])
    assert find(document, ("f:spec", "f:keyed", 'k:{"type":"T"}', "f:type")) == "T"
    for path in (("f:spec", "f:b", "f:c"), ("f:spec", "f:set", 'v:"y"'), ("f:spec", "f:keyed", 'k:{"type":"T"}')):
        remove(document, path)
    assert document["spec"] == {"set": ["z"]}


def test_fields_and_items_no_longer_applied_are_removed() -> None:
    first = applied(None, thing(a=1, set=["x", "y"], keyed=[{"type": "A", "status": "1"}, {"type": "B"}]))
    second = applied(first, thing(a=1, set=["y"], keyed=[{"type": "B"}]))
    assert second["spec"] == {"a": 1, "set": ["y"], "keyed": [{"type": "B"}]}


def test_item_with_fields_of_another_manager_is_kept() -> None:
    first = applied(None, thing(keyed=[{"type": "A"}]))
    second = applied(first, thing(keyed=[{"type": "A", "status": "2"}]), "two")
    third = applied(second, thing(a=1))
    assert third["spec"]["keyed"] == [{"type": "A", "status": "2"}]


def test_equal_value_is_shared_without_a_conflict() -> None:
    first = applied(None, thing(a=1))
    assert holders(applied(first, thing(a=1), "two"), "a") == {"one", "two"}


def test_atomic_list_conflicts_as_a_whole() -> None:
    first = applied(None, thing(atomic=["x"]))
    with pytest.raises(StatusError, match=r'conflict with "one": \.spec\.atomic'):
        applied(first, thing(atomic=["x", "y"]), "two")


def test_conflicting_item_is_named_by_its_key() -> None:
    first = applied(None, thing(keyed=[{"type": "A", "status": "1"}]))
    with pytest.raises(StatusError, match=r'\.spec\.keyed\[type="A"\]\.status'):
        applied(first, thing(keyed=[{"type": "A", "status": "2"}]), "two")


def test_force_takes_over_only_conflicting_fields() -> None:
    first = applied(None, thing(a=1, b={"c": 1}))
    second = applied(first, thing(a=2), "two", force=True)
    assert holders(second, "a") == {"two"}
    assert holders(second, "b.c") == {"one"}


def test_update_takes_over_only_the_fields_it_changes() -> None:
    old = applied(None, thing(a=1, b={"c": 1}))
    new = clone(old)
    new["spec"]["a"] = 2
    track(old, new, "editor", THINGS)
    assert holders(new, "a") == {"editor"}
    assert holders(new, "b.c") == {"one"}


def test_removed_field_has_no_manager() -> None:
    old = applied(None, thing(a=1, b={"c": 1}))
    new = clone(old)
    del new["spec"]["b"]
    track(old, new, "editor", THINGS)
    assert holders(new, "b.c") == set()


def test_managed_fields_in_the_request_are_used() -> None:
    old = applied(None, thing(a=1))
    new = clone(old)
    new["metadata"]["managedFields"][0]["manager"] = "renamed"
    track(old, new, "editor", THINGS)
    assert holders(new, "a") == {"renamed"}


def test_status_has_its_own_managers() -> None:
    first = applied(None, thing(a=1))
    second = applied(first, {**thing(a=9), "status": {"a": 5}}, subresource="status")
    assert (second["spec"]["a"], second["status"]["a"]) == (1, 5)
    assert [each.get("subresource") for each in second["metadata"]["managedFields"]] == [None, "status"]


def test_server_owned_fields_are_not_applied() -> None:
    wanted = thing(a=1)
    wanted["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 9, "managedFields": []}
    made = applied(None, wanted)
    assert set(made["metadata"]) == {"name", "managedFields"}


def test_kubectl_takes_over_fields_of_client_side_apply() -> None:
    old = thing(a=1)
    old["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(thing(a=1))}
    track(None, old, "kubectl-client-side-apply", THINGS)
    with pytest.raises(StatusError, match="conflict"):
        applied(old, thing(a=2), "somebody")
    assert applied(old, thing(a=2), "kubectl")["spec"]["a"] == 2


def test_kubectl_does_not_take_over_fields_that_changed_since() -> None:
    old = thing(a=1)
    old["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(thing(a=1))}
    track(None, old, "kubectl-client-side-apply", THINGS)
    new = clone(old)
    new["spec"]["a"] = 5
    track(old, new, "editor", THINGS)
    with pytest.raises(StatusError, match='conflict with "editor"'):
        applied(new, thing(a=2), "kubectl")
