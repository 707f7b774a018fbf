"""The CRDs that are committed are the ones the models make, and Kubernetes would take them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from darkroom_contract.crd.definitions import definition, render, structural
from darkroom_contract.names import Kind
from darkroom_contract.specs.job import MUTABLE_FIELDS

CRDS = Path(__file__).parents[3] / "crds"
SPEC_PATH = ("spec", "versions", 0, "schema", "openAPIV3Schema", "properties", "spec")


def dig(document: Any, *path: str | int) -> Any:
    for key in path:
        document = document[key]
    return document


def schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from schemas(each, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from schemas(schema[key], f"{path}[]")


@pytest.mark.parametrize("kind", list(Kind))
def test_committed_files_match_the_models(kind: Kind) -> None:
    committed = (CRDS / f"{kind.crd_name}.yaml").read_text(encoding="utf-8")
    assert committed == render(kind), "run `make generate` and commit crds/"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_is_bounded_described_and_structural(kind: Kind) -> None:
    root = dig(definition(kind), *SPEC_PATH[:-2])
    forbidden = {"$ref", "$defs", "anyOf", "oneOf", "const", "title", "exclusiveMinimum", "uniqueItems", "prefixItems"}
    for path, schema in schemas(root["properties"]["spec"], "spec"):
        assert not forbidden & schema.keys(), path
        assert schema["type"] in {"object", "array", "string", "integer", "number", "boolean"}, path
        assert schema.get("description"), path
        if schema["type"] == "string":
            assert "maxLength" in schema or "enum" in schema, path
        if schema["type"] in ("integer", "number"):
            assert {"minimum", "maximum"} <= schema.keys(), path
        if schema["type"] == "array":
            assert "maxItems" in schema, path


@pytest.mark.parametrize("kind", list(Kind))
def test_defaults_reach_into_groups_that_may_be_left_out(kind: Kind) -> None:
    spec = dig(definition(kind), *SPEC_PATH)
    groups = {"training"} if kind is Kind.TRAIN else {"images", "cache", "video"}
    for group in groups:
        assert spec["properties"][group]["default"] == {}


def test_prior_preservation_has_no_default() -> None:
    training = dig(definition(Kind.TRAIN), *SPEC_PATH, "properties", "training")
    assert "default" not in training["properties"]["priorPreservation"]


@pytest.mark.parametrize("kind", list(Kind))
def test_all_but_the_queueing_fields_are_fixed_at_creation(kind: Kind) -> None:
    spec = dig(definition(kind), *SPEC_PATH)
    fixed = {rule["fieldPath"].removeprefix(".") for rule in spec["x-kubernetes-validations"]}
    mutable = {"priority", "suspend", "backoffLimit", "activeDeadlineSeconds", "startDeadlineSeconds"}
    mutable |= {"ttlSecondsAfterFinished", "webhook", "webhookEvents"}
    assert set(spec["properties"]) - fixed == mutable
    assert len(MUTABLE_FIELDS) == len(mutable)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_status_has_no_defaults_that_nobody_observed(kind: Kind) -> None:
    status = dig(definition(kind), *SPEC_PATH[:-1], "status")
    assert [path for path, schema in schemas(status) if "default" in schema] == []


@pytest.mark.parametrize("kind", list(Kind))
def test_no_enum_value_reads_as_a_boolean_in_yaml(kind: Kind) -> None:
    spec = dig(definition(kind), *SPEC_PATH)
    values = [value for _, schema in schemas(spec) for value in schema.get("enum", [])]
    assert values
    assert [value for value in values if not isinstance(yaml.safe_load(value), str)] == []


def test_a_union_of_two_types_is_refused() -> None:
    with pytest.raises(ValueError, match="no structural schema"):
        structural({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}, {})


@pytest.mark.parametrize("kind", list(Kind))
def test_the_committed_yaml_has_no_anchors(kind: Kind) -> None:
    assert [token for token in yaml.scan(render(kind)) if isinstance(token, yaml.AnchorToken | yaml.AliasToken)] == []
