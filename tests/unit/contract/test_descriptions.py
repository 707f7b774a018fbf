"""`kubectl explain` reads like documentation: every field at any depth says what it is for."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from darkroom_contract.crd.definitions import definition
from darkroom_contract.names import Kind

FEWEST_NEW_WORDS = 3
EMPTY_WORDS = frozenset(
    {"a", "an", "and", "are", "as", "at", "by", "for", "in", "is", "its", "of", "on", "or", "that", "the", "to"}
)


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that has a name of its own, list entries and map values too. The API server describes metadata."""
    for name, each in schema.get("properties", {}).items():
        if (path, name) == ("", "metadata"):
            continue
        yield f"{path}.{name}", each
        yield from fields(each, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield f"{path}[]", schema[key]
            yield from fields(schema[key], f"{path}[]")


def root(kind: Kind) -> dict[str, Any]:
    [version] = definition(kind)["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def words(text: str) -> set[str]:
    """Lower case, camelCase taken apart, plurals as singulars, without the little ones."""
    parts = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower())
    return {part.removesuffix("s") for part in parts} - EMPTY_WORDS


def fault(path: str, schema: dict[str, Any]) -> str | None:
    """What is wrong with a field's description, if anything is."""
    text = schema.get("description", "").split(" Default: ")[0].split(" Takes ")[0]
    if not text:
        return f"{path} has no description"
    if len(words(text) - words(path.rpartition(".")[2])) < FEWEST_NEW_WORDS:
        return f"{path} only repeats its name: {text}"
    return None if text.endswith((".", "...")) else f"{path} is described by less than a sentence: {text}"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_at_any_depth_has_a_description(kind: Kind) -> None:
    found = list(fields(root(kind)))
    assert {".spec", ".status", ".status.conditions[].reason", ".status.progress.metrics[]"} <= {
        path for path, _ in found
    }
    assert [each for path, schema in found if (each := fault(path, schema))] == []


@pytest.mark.parametrize("kind", list(Kind))
def test_the_kind_has_a_description(kind: Kind) -> None:
    assert fault(kind, root(kind)) is None


@pytest.mark.parametrize("kind", list(Kind))
def test_every_default_and_bound_of_a_spec_is_described(kind: Kind) -> None:
    for path, schema in fields(root(kind)["properties"]["spec"]):
        told = schema["description"]
        if schema.get("default") not in (None, {}):
            assert " Default: " in told, path
        if "maximum" in schema:
            assert re.search(r" Takes \S+ to \S+(, in multiples of \d+)?\.", told), path
        if "maxLength" in schema:
            assert f"at most {schema['maxLength']} characters" in told, path


def test_a_field_that_has_a_duration_names_the_unit() -> None:
    for kind in Kind:
        for path, schema in fields(root(kind)):
            if path.endswith("Seconds"):
                assert "seconds" in schema["description"].lower(), path


@pytest.mark.parametrize(
    ("path", "description", "word"),
    [
        (".spec.maxSteps", "", "no description"),
        (".spec.maxSteps", "The max steps.", "repeats"),
        (".spec.maxSteps", "Max steps of this. Default: 5. Takes 1 to 20000.", "repeats"),
        (".spec.maxSteps", "Optimizer passes until the training ends", "less than a sentence"),
    ],
)
def test_a_poor_description_is_found(path: str, description: str, word: str) -> None:
    assert word in (fault(path, {"description": description}) or "")
