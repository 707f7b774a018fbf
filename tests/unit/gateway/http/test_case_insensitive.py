"""Enum values in query parameters are case-insensitive; specs, answers and the OpenAPI document have canonical ones."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from darkroom_contract.names import Kind
from darkroom_contract.specs.images import Scheduler
from darkroom_gateway.generation.parameters import LoraParameters
from darkroom_gateway.http.case_insensitive import case_insensitive, enum_of
from darkroom_gateway.training.parameters import TrainParameters

SPELLINGS: tuple[Callable[[str], str], ...] = (str.lower, str.upper, str.swapcase, str)
REQUIRED = {"prompt": "a", "model_id": "dog"}


def enum_fields() -> Iterator[tuple[type[BaseModel], str, type[StrEnum]]]:
    for model in (TrainParameters, LoraParameters):
        for name, field in model.model_fields.items():
            if enum := enum_of(field.annotation):
                yield model, name, enum


def enum_values(schema: dict[str, Any], components: dict[str, Any]) -> list[str]:
    """The enum values of a parameter's schema, following references."""
    if "$ref" in schema:
        return enum_values(components[schema["$ref"].rsplit("/", 1)[-1]], components)
    return schema.get("enum", []) + [
        value for each in schema.get("anyOf", []) for value in enum_values(each, components)
    ]


@pytest.mark.parametrize(("model", "name", "enum"), list(enum_fields()))
def test_submission_accepts_enum_values_in_any_case(model: type[BaseModel], name: str, enum: type[StrEnum]) -> None:
    for member in enum:
        for spelling in SPELLINGS:
            given = {**REQUIRED, name: spelling(member.value)}
            assert getattr(model.model_validate(given), name) is member


def test_unknown_value_is_refused_with_the_list_of_members() -> None:
    with pytest.raises(ValidationError, match="'Disabled', 'Quality', 'Balanced' or 'Fast'"):
        LoraParameters.model_validate({**REQUIRED, "cache_profile": "fastest"})


def test_enum_with_members_that_differ_only_in_case_is_refused() -> None:
    class Twins(StrEnum):
        LOWER = "a"
        UPPER = "A"

    with pytest.raises(ValueError, match="Twins has members that differ only in case"):
        case_insensitive(Twins)


def test_every_enum_of_every_endpoint_is_accepted_in_lower_and_upper_case(http: httpx.Client) -> None:
    """The request may be invalid, but not because of the enum value."""
    document = http.get("/openapi.json").json()
    tried = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                for value in enum_values(parameter["schema"], document["components"]["schemas"]):
                    for spelling in (value.lower(), value.upper()):
                        query = {parameter["name"]: spelling, "no_such_parameter": "so that nothing is made"}
                        response = http.request(method, path.replace("{task_id}", "nobody"), params=query)
                        wrong = {each["parameter"] for each in response.json()["errors"]}
                        assert "no_such_parameter" in wrong
                        assert parameter["name"] not in wrong, f"{method} {path}: {query}"
                        tried += 1
    assert tried > 50


def test_openapi_document_lists_the_canonical_values(http: httpx.Client) -> None:
    schemas = http.get("/openapi.json").json()["components"]["schemas"]

    assert schemas["Kind"]["enum"] == [each.value for each in Kind]
    assert schemas["Scheduler"]["enum"] == [each.value for each in Scheduler]


def test_jobs_are_filtered_by_phase_and_kind_in_any_case(http: httpx.Client, cluster: Any, job_name: str) -> None:
    cluster.create(Kind.GENERATE, job_name, {"prompt": "a dog"})
    cluster.set_status(Kind.GENERATE, job_name, phase="Running")

    for query in ("phase=running&kind=generatejob", "phase=RUNNING&kind=GENERATEJOB"):
        jobs = http.get(f"/jobs?{query}&limit=1000").json()["jobs"]
        assert job_name in {each["task_id"] for each in jobs}
        assert {(each["phase"], each["kind"]) for each in jobs} == {("Running", "GenerateJob")}
    assert http.get(f"/jobs/{job_name}?kind=generatejob").json()["kind"] == "GenerateJob"


@pytest.mark.parametrize("written", ["euler", "EULER", "Euler"])
def test_job_has_the_canonical_value_and_case_does_not_change_its_identity(
    http: httpx.Client, cluster: Any, job_name: str, written: str
) -> None:
    headers = {"Idempotency-Key": job_name}
    [first, second] = [
        http.post("/generate/sdxl", params={"prompt": "a", "scheduler": scheduler}, headers=headers)
        for scheduler in (written, "eULER")
    ]

    assert first.status_code == second.status_code == 202, second.text
    assert first.json() == second.json()
    job = cluster.get(Kind.GENERATE, first.json()["task_id"])
    assert job["spec"]["images"]["scheduler"] == "Euler"


def test_repeatable_parameter_is_case_insensitive_too(http: httpx.Client) -> None:
    assert http.get("/readyz?tolerate=Storage&tolerate=CLUSTER").status_code == 200

    refused = http.get("/readyz?tolerate=storage&tolerate=redis")
    assert refused.status_code == 422
    assert [(each["parameter"], each["given"]) for each in refused.json()["errors"]] == [("tolerate", "redis")]


@pytest.mark.parametrize("written", ["dpm++", "DPM%2B%2B", "dpm%2b%2B"])
def test_unescaped_plus_is_accepted(http: httpx.Client, cluster: Any, written: str) -> None:
    response = http.post(f"/generate/sdxl?prompt=a&scheduler={written}")

    assert cluster.get(Kind.GENERATE, response.json()["task_id"])["spec"]["images"]["scheduler"] == "DPM++"
