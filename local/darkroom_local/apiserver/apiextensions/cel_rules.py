"""CEL rules of custom resource definitions (`x-kubernetes-validations`). Pure; compiled once per schema.

cel-expr-python lacks Kubernetes' own CEL libraries (quantity, url, ip, regex): a definition whose rules use them is
rejected when it is created.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from darkroom_local.apiserver.apimachinery.errors import Cause, forbidden_value
from darkroom_local.apiserver.apimachinery.unstructured import Json

ENVIRONMENT = cel.NewEnv(
    variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN},
    extensions=[ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional()],
)
OLD_SELF = re.compile(r"\boldSelf\b")
MISSING = object()
"""Stands for a missing old value: the object or this part of it is new."""
MAX_ALLOWED = 1000
"""Unchanged values that each schema node remembers."""


class RuleInvalidError(ValueError):
    """A rule does not compile."""


@dataclass(frozen=True)
class Rule:
    """One compiled rule of a schema node."""

    source: str
    program: Any
    message: str
    message_program: Any
    reason: str
    field_path: str
    is_transition: bool


def compile_rules(schema: Json) -> "RuleNode | None":
    """The rules of a schema and its subschemas, or None if there are none. Raises `RuleInvalidError`."""
    rules = [_compile_rule(rule) for rule in schema.get("x-kubernetes-validations", [])]
    properties = {name: node for name, child in schema.get("properties", {}).items() if (node := compile_rules(child))}
    values = schema.get("additionalProperties")
    items = schema.get("items")
    node = RuleNode(
        schema,
        rules,
        properties,
        compile_rules(values) if isinstance(values, dict) else None,
        compile_rules(items) if isinstance(items, dict) else None,
    )
    return node if rules or properties or node.values or node.items else None


def _compile_rule(rule: Json) -> Rule:
    source, message = rule["rule"], rule.get("message", "")
    if rule.get("optionalOldSelf"):
        raise RuleInvalidError("optionalOldSelf is not supported by this server")
    message_source = rule.get("messageExpression", "")
    return Rule(
        source,
        _compile(source),
        message or f"failed rule: {' '.join(source.split())}",
        _compile(message_source) if message_source else None,
        rule.get("reason", "FieldValueInvalid"),
        rule.get("fieldPath", ""),
        bool(OLD_SELF.search(source)),
    )


def _compile(source: str) -> Any:
    try:
        return ENVIRONMENT.compile(source)
    except RuntimeError as error:
        raise RuleInvalidError(f"compilation failed: {error}") from error


@dataclass(frozen=True)
class RuleNode:
    """The rules of a schema node and of the nodes below it."""

    schema: Json
    rules: list[Rule]
    properties: dict[str, "RuleNode"]
    values: "RuleNode | None"
    items: "RuleNode | None"
    _allowed: set[str] = field(default_factory=set)
    """Values, as JSON, that may stay as they are: a job's spec, which each update of its status leaves unchanged."""

    def validate(self, value: Any, old: Any, path: str = "", is_same: bool = False) -> Iterator[Cause]:
        """The violations of a value. `old` is MISSING if there is no value to compare with. `is_same`: what contains
        the value has not changed.

        An unchanged value may violate rules that don't compare it with the old one, as in Kubernetes (validation
        ratcheting): a rule that was added later does not keep the rest of the object from being changed.
        """
        if value is None:
            return
        is_same = is_same or (value == old and json.dumps(value) == json.dumps(old))  # To Python, 1 is True.
        yield from self._validate_here(value, old, is_same, path)
        if isinstance(value, dict):
            yield from self._validate_properties(value, old, is_same, path)
        elif isinstance(value, list) and self.items:
            for index, item in enumerate(value):
                yield from self.items.validate(item, self._old_item(item, old), f"{path}[{index}]", is_same)

    def _validate_properties(self, value: Json, old: Any, is_same: bool, path: str) -> Iterator[Cause]:
        before = old if isinstance(old, dict) else {}
        for name, item in value.items():
            node = self.properties.get(name) or (None if name in self.schema.get("properties", {}) else self.values)
            if node:
                yield from node.validate(item, before.get(name, MISSING), f"{path}.{name}" if path else name, is_same)

    def _old_item(self, item: Any, old: Any) -> Any:
        """The old item with the same keys; only items of map lists can be matched."""
        keys = self.schema.get("x-kubernetes-list-map-keys")
        if not keys or not isinstance(old, list) or not isinstance(item, dict):
            return MISSING
        for candidate in old:
            if isinstance(candidate, dict) and all(candidate.get(key) == item.get(key) for key in keys):
                return candidate
        return MISSING

    def _validate_here(self, value: Any, old: Any, is_same: bool, path: str) -> Iterator[Cause]:
        rules = [rule for rule in self.rules if not rule.is_transition or old is not MISSING]
        # What rules say about an unchanged value depends on the value alone.
        known = json.dumps([value, old is MISSING]) if is_same and rules else None
        if not rules or known in self._allowed:
            return
        data = {"self": to_cel(value, self.schema)}
        if old is not MISSING:
            data["oldSelf"] = to_cel(old, self.schema)
        is_allowed = True
        for rule in rules:
            # An evaluation error is a truthy value, hence `is True`.
            result = rule.program.eval(data=data).value()
            if result is not True and not (is_same and result is False and not rule.is_transition):
                is_allowed = False
                yield _cause(rule, data, result, path, self.schema.get("type", "object"))
        if known is not None and is_allowed:
            self._allow(known)

    def _allow(self, unchanged: str) -> None:
        if len(self._allowed) >= MAX_ALLOWED:
            self._allowed.clear()
        self._allowed.add(unchanged)


def _cause(rule: Rule, data: Json, result: Any, path: str, type_name: str) -> Cause:
    message = rule.message
    if result is not False:
        message = f"rule evaluation error: {result}: {rule.source}"
    elif rule.message_program is not None:
        text = rule.message_program.eval(data=data).value()
        message = text if isinstance(text, str) else message
    field = (path + rule.field_path).lstrip(".") or "<nil>"
    if rule.reason == "FieldValueForbidden":
        return forbidden_value(field, message)
    words = {"FieldValueRequired": "Required value", "FieldValueDuplicate": f'Duplicate value: "{type_name}"'}
    problem = words.get(rule.reason, f'Invalid value: "{type_name}"')
    return Cause(field, rule.reason, f"{problem}: {message}")


def to_cel(value: Any, schema: Json) -> Any:
    """JSON with CEL's types: a schema's `number` is a double even when written as 1.

    Unlike in Kubernetes, a date-time stays a string: the library accepts no timestamps inside objects.
    """
    if isinstance(value, dict):
        properties, values = schema.get("properties", {}), schema.get("additionalProperties")
        others = values if isinstance(values, dict) else {}
        return {name: to_cel(item, properties.get(name, others)) for name, item in value.items()}
    if isinstance(value, list):
        return [to_cel(item, schema.get("items") or {}) for item in value]
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
