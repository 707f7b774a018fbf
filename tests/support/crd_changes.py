"""What a new CustomResourceDefinition takes away from those who rely on an old one. Pure.

Objects that were valid must stay valid, read the same, and be updatable; so bounds may widen and fields may be added,
and nothing else. A change of unknown effect (another pattern, a new rule) counts as one that takes away, unless it is
listed here: tests/unit/contract/test_released_objects.py shows the effect of each listed one. Descriptions, columns and
messages may change.
"""

from collections.abc import Iterator
from typing import Any

from darkroom_contract.crd.definitions import (
    CONTRADICTORY_GUIDANCE,
    MASK_NEEDS_START_IMAGE,
    NOTHING_TO_MAKE,
    ONE_INITIAL_LORA,
    ONE_LORA_SOURCE,
    SHORT_FORM_ALONE,
)
from darkroom_contract.names import MODEL_ID_PATTERN, MODEL_REFERENCE_PATTERN

Json = dict[str, Any]

LOWER_BOUNDS = ("minimum", "minLength", "minItems", "minProperties")
UPPER_BOUNDS = ("maximum", "maxLength", "maxItems", "maxProperties")
FIXED = ("pattern", "format", "not", "allOf", "anyOf", "oneOf")
"""May be dropped, but neither brought in nor changed."""
MERGING = ("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")
"""How lists and maps are merged: a change gives old manifests another meaning."""
WIDENED = frozenset(
    {
        (
            r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$",
            r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?(@[A-Za-z0-9](\.?[A-Za-z0-9_-]){0,99})?$",
        ),
        (MODEL_ID_PATTERN, MODEL_REFERENCE_PATTERN),
    }
)
"""Patterns and their successors, which accept all that the former accepted."""
ON_NEW_FIELDS = frozenset(
    rule["rule"]
    for rule in (ONE_LORA_SOURCE, SHORT_FORM_ALONE, ONE_INITIAL_LORA, MASK_NEEDS_START_IMAGE, NOTHING_TO_MAKE)
)
"""Rules that hold for every object without the new fields, although they also read old ones."""
REPLACED_DEFAULTS = frozenset({("v1alpha1.spec.training.learningRate", 1e-4)})
"""Defaults that depend on a new field now, and are the same without it."""
DOOMED = frozenset({CONTRADICTORY_GUIDANCE["rule"]})
"""Rules that refuse, at creation alone, jobs that no release could run: each failed after the queue before."""
FREEDOMS = ("nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string")


def losses(old: Json, new: Json) -> list[str]:
    """What a client of `old` would miss in `new`, each with its path in the schema."""
    return [*_definition(old["spec"], new["spec"])]


def _definition(old: Json, new: Json) -> Iterator[str]:
    if old["group"] != new["group"] or old["scope"] != new["scope"]:
        yield "the group or the scope is another"
    for key in ("kind", "listKind", "plural", "singular"):
        if old["names"].get(key) != new["names"].get(key):
            yield f"names.{key} was {old['names'].get(key)} and is {new['names'].get(key)}"
    for key in ("shortNames", "categories"):
        for name in set(old["names"].get(key, [])) - set(new["names"].get(key, [])):
            yield f"names.{key} has lost {name}"
    versions = {version["name"]: version for version in new["versions"]}
    for version in old["versions"]:
        yield from _version(version, versions.get(version["name"]))


def _version(old: Json, new: Json | None) -> Iterator[str]:
    name = old["name"]
    if new is None:
        yield f"version {name} is gone: objects that are stored in it can't be read"
        return
    if old["served"] and not new["served"]:
        yield f"version {name} is no longer served"
    for subresource in old.get("subresources", {}).keys() - new.get("subresources", {}).keys():
        yield f"version {name} has lost its subresource {subresource}"
    yield from _schema(old["schema"]["openAPIV3Schema"], new["schema"]["openAPIV3Schema"], name)


def _schema(old: Json, new: Json, path: str) -> Iterator[str]:
    if old.get("type") != new.get("type") and (old.get("type"), new.get("type")) != ("integer", "number"):
        yield f"{path}: the type was {old.get('type')} and is {new.get('type')}"
    yield from _bounds(old, new, path)
    yield from _values(old, new, path)
    yield from _rules(old, new, path)
    yield from _children(old, new, path)


def _bounds(old: Json, new: Json, path: str) -> Iterator[str]:
    for key in LOWER_BOUNDS + UPPER_BOUNDS:
        if key not in new:
            continue
        tighter = key not in old or (new[key] > old[key] if key in LOWER_BOUNDS else new[key] < old[key])
        if tighter:
            yield f"{path}: {key} was {old.get(key, 'absent')} and is {new[key]}"
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        if new.get(key) and not old.get(key):
            yield f"{path}: {key} is set"
    step = new.get("multipleOf")
    if step is not None and ("multipleOf" not in old or old["multipleOf"] % step):
        yield f"{path}: multipleOf was {old.get('multipleOf', 'absent')} and is {step}"


def _enum(old: Json, new: Json, path: str) -> Iterator[str]:
    if "enum" not in new:
        return
    if "enum" not in old:
        yield f"{path}: only {new['enum']} are taken now"
    for value in (each for each in old.get("enum", []) if each not in new["enum"]):
        yield f"{path}: {value!r} is no longer taken"


def _values(old: Json, new: Json, path: str) -> Iterator[str]:
    yield from _enum(old, new, path)
    if old.get("default") != new.get("default") and not (
        "default" not in new and (path, old["default"]) in REPLACED_DEFAULTS
    ):
        yield f"{path}: the default was {old.get('default', 'absent')!r} and is {new.get('default', 'absent')!r}"
    for key in FIXED:
        if key in new and old.get(key) != new[key] and (old.get(key), new[key]) not in WIDENED:
            yield f"{path}: {key} was {old.get(key, 'absent')!r} and is {new[key]!r}"
    for key in MERGING:
        if old.get(key) != new.get(key):
            yield f"{path}: {key} was {old.get(key, 'absent')!r} and is {new.get(key, 'absent')!r}"
    for key in FREEDOMS:
        if old.get(key) and not new.get(key):
            yield f"{path}: {key} is no longer set"


def _rules(old: Json, new: Json, path: str) -> Iterator[str]:
    """A rule may be new only when it is about a field that is new: no old object has that."""
    known = DOOMED | ON_NEW_FIELDS | {rule["rule"] for rule in old.get("x-kubernetes-validations", [])}
    fresh = new.get("properties", {}).keys() - old.get("properties", {}).keys()
    for rule in new.get("x-kubernetes-validations", []):
        about = rule.get("fieldPath", "").removeprefix(".").split(".")[0]
        if rule["rule"] not in known and about not in fresh:
            yield f"{path}: a rule was added: {rule['rule']}"


def _children(old: Json, new: Json, path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before.keys() - after.keys():
        yield f"{path}.{name}: the field is gone"
    for name in set(new.get("required", [])) - set(old.get("required", [])):
        if "default" not in after.get(name, {}):
            yield f"{path}.{name}: the field is required now"
    for name in before.keys() & after.keys():
        yield from _schema(before[name], after[name], f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        yield from _inner(old.get(key), new.get(key), f"{path}[]")


def _inner(old: Any, new: Any, path: str) -> Iterator[str]:
    """The schema of a list's entries or of a map's values; `additionalProperties` may also be true or false."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _schema(old, new, path)
    elif old != new and new is not True:
        yield f"{path}: what may be in it was {old!r} and is {new!r}"
