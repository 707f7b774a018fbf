"""Label and field selectors of list, watch and deletecollection requests. Pure."""

import re
from collections.abc import Callable
from typing import Any

from darkroom_local.apiserver.apimachinery.errors import bad_request
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig

Predicate = Callable[[Json], bool]
Labels = dict[str, str]

SET_BASED = re.compile(r"^(?P<key>[\w./-]+)\s+(?P<how>in|notin)\s*\((?P<values>[\w.,\s-]*)\)$", re.ASCII)
EQUALITY = re.compile(r"^(?P<key>[\w./-]+)\s*(?P<how>!=|==|=)\s*(?P<value>[\w.-]*)$", re.ASCII)
EXISTENCE = re.compile(r"^(?P<not>!?)\s*(?P<key>[\w./-]+)$", re.ASCII)
FIELD = re.compile(r"^(?P<key>[\w./\[\]-]+)\s*(?P<how>!=|==|=)\s*(?P<value>[^\s!=]*)$")

ANY_FIELDS = frozenset({"metadata.name", "metadata.namespace"})
"""Fields that every kind supports in a field selector."""


def compile_selectors(labels: str, fields: str, known_fields: frozenset[str]) -> Predicate:
    """A predicate for both selectors. Raises 400 for a syntax error or an unsupported field."""
    tests = [_label_predicate(part) for part in _split(labels)]
    tests += [_field_predicate(part, known_fields | ANY_FIELDS) for part in _split(fields)]
    return lambda document: all(test(document) for test in tests)


def _split(selector: str) -> list[str]:
    """The requirements of a selector: split at commas outside parentheses."""
    return [part.strip() for part in re.split(r",(?![^()]*\))", selector) if part.strip()]


def _label_predicate(requirement: str) -> Predicate:
    if match := SET_BASED.match(requirement):
        values = {value.strip() for value in match["values"].split(",")}
        return _on_labels(match["key"], match["how"] == "in", values)
    if match := EQUALITY.match(requirement):
        return _on_labels(match["key"], match["how"] != "!=", {match["value"]})
    if match := EXISTENCE.match(requirement):
        key, wanted = match["key"], not match["not"]
        return lambda document: (key in _labels(document)) == wanted
    raise bad_request(f'unable to parse requirement: invalid label selector "{requirement}"')


def _on_labels(key: str, among: bool, values: set[str]) -> Predicate:
    """A missing label satisfies `!=` and `notin`, as in Kubernetes."""
    return lambda document: (_labels(document).get(key) in values) == among


def _labels(document: Json) -> Labels:
    return document["metadata"].get("labels") or {}


def _field_predicate(requirement: str, known: frozenset[str]) -> Predicate:
    match = FIELD.match(requirement)
    if not match:
        raise bad_request(f'invalid field selector "{requirement}"')
    field = match["key"]
    if field not in known:
        raise bad_request(f"field label not supported: {field}")
    path, wanted, equal = field.split("."), match["value"], match["how"] != "!="
    return lambda document: (_as_text(dig(document, path)) == wanted) == equal


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
