"""CEL rules: where they apply, old values, and error messages."""

from typing import Any

import pytest

from darkroom_local.apiserver.apiextensions.cel_rules import MISSING, RuleInvalidError, compile_rules
from darkroom_local.apiserver.resources.definitions import compile_definition

Json = dict[str, Any]


def violations(schema: Json, value: Any, old: Any = MISSING) -> list[str]:
    node = compile_rules(schema)
    assert node is not None
    return [str(cause) for cause in node.validate(value, old)]


def ruled(rule: str, schema: Json | None = None, **more: Any) -> Json:
    return {"type": "object", **(schema or {}), "x-kubernetes-validations": [{"rule": rule, **more}]}


def test_satisfied_rule_reports_nothing() -> None:
    assert violations(ruled("self.a < self.b"), {"a": 1, "b": 2}) == []


def test_violated_rule_reports_its_message() -> None:
    assert violations(ruled("self.a < self.b", message="a below b"), {"a": 2, "b": 1}) == [
        '<nil>: Invalid value: "object": a below b'
    ]


def test_rule_without_a_message_reports_its_expression() -> None:
    assert violations(ruled("self.a  ==\n 1"), {"a": 2}) == ['<nil>: Invalid value: "object": failed rule: self.a == 1']


def test_message_expression_is_evaluated() -> None:
    schema = ruled("self.a > 1", messageExpression="'a is ' + string(self.a)", message="static")
    assert violations(schema, {"a": 1}) == ['<nil>: Invalid value: "object": a is 1']


@pytest.mark.parametrize(
    ("reason", "wording"),
    [
        ("FieldValueForbidden", "a: Forbidden: no"),
        ("FieldValueRequired", "a: Required value: no"),
        ("FieldValueInvalid", 'a: Invalid value: "object": no'),
    ],
)
def test_reason_and_field_path_determine_the_error(reason: str, wording: str) -> None:
    assert violations(ruled("false", message="no", reason=reason, fieldPath=".a"), {"a": 1}) == [wording]


def test_evaluation_error_is_a_violation() -> None:
    [message] = violations(ruled("self.missing == 1"), {"a": 1})
    assert "rule evaluation error" in message
    assert "missing" in message


@pytest.mark.parametrize("unchanged", [{"a": 2}, {"a": 2, "b": [1]}])
def test_rule_does_not_judge_what_an_update_leaves_as_it_is(unchanged: Json) -> None:
    schema = {"type": "object", "properties": {"spec": ruled("self.a == 1", message="one")}}
    assert violations(schema, {"spec": unchanged, "status": 2}, {"spec": unchanged, "status": 1}) == []
    assert len(violations(schema, {"spec": unchanged}, {"spec": {"a": 3}})) == 1
    assert len(violations(schema, {"spec": unchanged})) == 1


def test_transition_rule_judges_an_unchanged_value_too() -> None:
    frozen = ruled("self.a > oldSelf.a", message="more")
    assert violations({"type": "object", "properties": {"spec": frozen}}, {"spec": {"a": 1}}, {"spec": {"a": 1}}) == [
        'spec: Invalid value: "object": more'
    ]


def test_error_of_a_rule_is_reported_for_an_unchanged_value_too() -> None:
    for _ in range(2):
        [message] = violations(ruled("self.missing == 1"), {"a": 1}, {"a": 1})
        assert "rule evaluation error" in message


def test_unchanged_list_is_not_judged_item_by_item() -> None:
    items = ruled("self.k < 1", message="low") | {"properties": {"k": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"l": {"type": "array", "items": items}, "n": {"type": "integer"}}}
    assert violations(schema, {"l": [{"k": 2}], "n": 2}, {"l": [{"k": 2}], "n": 1}) == []
    assert len(violations(schema, {"l": [{"k": 2}]}, {"l": [{"k": 3}]})) == 1


def test_true_is_not_the_same_as_one() -> None:
    node = compile_rules(ruled("self.a == 1", message="one"))
    assert node is not None
    assert list(node.validate({"a": 1}, {"a": 1})) == []
    assert len(list(node.validate({"a": True}, {"a": 1}))) == 1


def test_unchanged_value_is_judged_the_same_each_time() -> None:
    node = compile_rules(ruled("self.a == oldSelf.a && self.a < 2", message="small"))
    assert node is not None
    for _ in range(2):
        assert list(node.validate({"a": 1}, {"a": 1})) == []
        assert len(list(node.validate({"a": 2}, {"a": 2}))) == 1
        assert len(list(node.validate({"a": 1}, {"a": 0}))) == 1


def test_transition_rule_applies_only_to_updates() -> None:
    schema = ruled("self.a == oldSelf.a", message="frozen")
    assert violations(schema, {"a": 1}) == []
    assert violations(schema, {"a": 1}, {"a": 1}) == []
    assert violations(schema, {"a": 2}, {"a": 1}) == ['<nil>: Invalid value: "object": frozen']


def test_nested_rules_see_their_own_old_value() -> None:
    inner = ruled("self == oldSelf", {"type": "string"}, message="frozen")
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"name": inner}}}}
    assert violations(schema, {"spec": {"name": "b"}}, {"spec": {"name": "a"}}) == [
        'spec.name: Invalid value: "string": frozen'
    ]
    assert violations(schema, {"spec": {"name": "b"}}, {"spec": {}}) == []


def test_rules_of_list_items_apply_to_each_item() -> None:
    schema = {"type": "array", "items": ruled("self.a > 0", message="positive")}
    assert violations(schema, [{"a": 1}, {"a": 0}]) == ['[1]: Invalid value: "object": positive'.lstrip()]


def test_only_items_of_map_lists_have_an_old_value() -> None:
    items = ruled("self.v >= oldSelf.v", message="only up")
    keyed = {"type": "array", "items": items, "x-kubernetes-list-map-keys": ["k"]}
    before, after = [{"k": "a", "v": 1}, {"k": "b", "v": 5}], [{"k": "b", "v": 4}, {"k": "a", "v": 1}]
    assert len(violations(keyed, after, before)) == 1
    assert violations({"type": "array", "items": items}, after, before) == []


def test_rules_of_map_values_apply_to_each_value() -> None:
    schema = {"type": "object", "additionalProperties": ruled("self < 3", {"type": "integer"}, message="small")}
    assert violations(schema, {"x": 1, "y": 5}) == ['y: Invalid value: "integer": small']


def test_number_is_a_double_even_when_written_as_an_integer() -> None:
    schema = ruled("self.a >= 1.0 && self.a < 2.5", {"properties": {"a": {"type": "number"}}})
    assert violations(schema, {"a": 1}) == []


@pytest.mark.parametrize(
    "rule",
    [
        "self.s.startsWith('ab')",
        "self.s.matches('^a')",
        "self.s.split('b')[0] == 'a'",
        "self.l.all(x, x > 0)",
        "self.l.exists(x, x == 2)",
        "size(self.l) == 2",
        "has(self.s) && !has(self.z)",
        "math.greatest(1, 2) == 2",
    ],
)
def test_supported_cel_libraries(rule: str) -> None:
    assert violations(ruled(rule), {"s": "abc", "l": [1, 2]}) == []


@pytest.mark.parametrize("rule", ["self.(", "unknown(self)", "quantity('1') == 1", "other.a == 1"])
def test_rule_that_does_not_compile_is_rejected(rule: str) -> None:
    with pytest.raises(RuleInvalidError, match="compilation failed"):
        compile_rules(ruled(rule))


def test_optional_old_self_is_rejected() -> None:
    with pytest.raises(RuleInvalidError, match="optionalOldSelf"):
        compile_rules(ruled("oldSelf.hasValue()", optionalOldSelf=True))


def test_schema_without_rules_compiles_to_nothing() -> None:
    assert compile_rules({"type": "object", "properties": {"a": {"type": "string"}}}) is None


def test_rules_of_the_whole_object_see_its_names_only() -> None:
    rule = {"x-kubernetes-validations": [{"rule": "self.metadata.name == 't' && !has(self.metadata.labels)"}]}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"} | rule}}
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "x.dev", "scope": "Namespaced", "names": names, "versions": [version]}
    [things], _ = compile_definition({"metadata": {"name": "things.x.dev"}, "spec": spec})
    assert things.custom is not None
    assert things.custom.validate({"metadata": {"name": "t", "labels": {"a": "b"}}}, None) == []
    assert len(things.custom.validate({"metadata": {"name": "u"}}, None)) == 1
