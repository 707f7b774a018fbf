"""docs/api.md and the OpenAPI document agree, and the OpenAPI document is complete."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from darkroom_gateway import errors
from darkroom_gateway.docs.openapi import ANY_OPERATION
from darkroom_gateway.http.problems import Problem
from darkroom_gateway.jobs.schemas import TaskAccepted
from darkroom_gateway.limits import errors as limit_errors
from darkroom_gateway.openai_images.error_shape import OpenAIError

API_DOCUMENT = Path(__file__).parents[4] / "docs" / "api.md"
OPENAI_PATHS = " /v1/images/"
MAKE_NOTHING_WITH_AN_ADDRESS = {
    "POST /v1/uploads",
    *(f"POST /v1/jobs/{{id}}/{action}" for action in ("suspend", "resume", "cancel")),
}


@pytest.fixture(scope="module")
def openapi(http: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = http.get("/openapi.json").json()
    return document


def operations(openapi: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    }


def test_api_md_has_a_section_for_each_endpoint_and_no_other(openapi: dict[str, Any]) -> None:
    documented = re.findall(r"^### `([A-Z]+ /\S*)`", API_DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(documented) == sorted(operations(openapi))


def test_api_md_names_each_parameter(openapi: dict[str, Any]) -> None:
    text = API_DOCUMENT.read_text(encoding="utf-8")
    names = {each["name"] for operation in operations(openapi).values() for each in operation.get("parameters", [])}

    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_tables_have_the_descriptions_of_the_openapi_document(openapi: dict[str, Any]) -> None:
    lines = API_DOCUMENT.read_text(encoding="utf-8").splitlines()
    for name in ("/train", "/generate/sdxl", "/generate/lora"):
        for each in openapi["paths"][name]["post"]["parameters"]:
            if each["in"] == "query":
                start, end = f"| `{each['name']}` |", f"| {each['description']} |"
                assert any(line.startswith(start) and line.endswith(end) for line in lines), f"{name}: {each['name']}"


def test_api_md_names_each_problem() -> None:
    text = API_DOCUMENT.read_text(encoding="utf-8")
    answered = {
        name.removesuffix("Error")
        for name, error in {**vars(errors), **vars(limit_errors)}.items()
        if isinstance(error, type) and issubclass(error, errors.GatewayError)
    } - {"Gateway", "TooManyRequests", "Unavailable", "ProgressUnavailable"}

    assert sorted(name for name in answered if f"`{name}`" not in text) == []


def test_each_parameter_is_described(openapi: dict[str, Any]) -> None:
    for name, operation in operations(openapi).items():
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{name}: {parameter['name']}"


def test_errors_are_described_as_problem_details(openapi: dict[str, Any]) -> None:
    for name, operation in operations(openapi).items():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and OPENAI_PATHS not in name:
                assert list(response["content"]) == ["application/problem+json"]
    assert {"Problem", "ProblemError"} <= set(openapi["components"]["schemas"])
    assert "HTTPValidationError" not in openapi["components"]["schemas"]


def test_errors_of_picture_requests_are_described_in_openais_shape(openapi: dict[str, Any]) -> None:
    """Requests that can't be read get problem details on any path."""
    described = [each for name, each in operations(openapi).items() if OPENAI_PATHS in name]
    assert len(described) == 2
    for operation in described:
        assert "422" not in operation["responses"]
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                kinds = ["application/json"] * (status not in ("414", "431"))
                kinds += ["application/problem+json"] * (status in ("400", "408", "414", "431"))
                assert list(response["content"]) == kinds, status


def test_operation_ids_are_function_names(openapi: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(openapi).values()]

    assert len(set(names)) == len(names)
    assert {"train", "generate_lora", "list_jobs", "get_job", "delete_job"} <= set(names)


def test_no_parameter_is_nullable(openapi: dict[str, Any]) -> None:
    """Queries can't contain null, and a header with the text `null` is refused."""
    for name, operation in operations(openapi).items():
        for parameter in operation.get("parameters", []):
            assert "null" not in json.dumps(parameter["schema"]), f"{name}: {parameter['name']}"


def test_response_headers_are_described(openapi: dict[str, Any]) -> None:
    for name, operation in operations(openapi).items():
        for status, response in operation["responses"].items():
            expected = {"X-Request-ID"}
            if status in ("429", "503"):
                expected.add("Retry-After")
            if status == "401":
                expected.add("WWW-Authenticate")
            makes = name.startswith("POST") and name not in MAKE_NOTHING_WITH_AN_ADDRESS
            if status == "307" or (status in ("200", "201", "202") and makes):
                expected.add("Location")
            required = {header for header, schema in response["headers"].items() if schema.get("required")}
            assert required == expected, f"{name}: {status}"


def test_responses_of_the_server_and_of_middleware_are_described(secured: Any, openapi: dict[str, Any]) -> None:
    """Including responses of middleware, each with a matching example."""
    of_secured = secured.http.get("/openapi.json").json()
    for document in (openapi, of_secured):
        for name, operation in operations(document).items():
            assert {str(each) for each in ANY_OPERATION} <= operation["responses"].keys(), name
            is_closed = document is of_secured and not name.endswith("z")
            assert ("401" in operation["responses"]) is is_closed, name
            for status, response in operation["responses"].items():
                if status in ("401", "413", "422", "429", "503"):
                    [content] = response["content"].values()
                    if OPENAI_PATHS in name:
                        assert OpenAIError.model_validate(content["example"]).error.message
                    else:
                        assert Problem.model_validate(content["example"]).status == int(status)


def test_accepted_response_describes_location(openapi: dict[str, Any]) -> None:
    for path in ("/v1/train-jobs", "/v1/generate-jobs", "/v1/jobs/{id}/retry"):
        answer = openapi["paths"][path]["post"]["responses"]["202"]
        assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/V1Job"}
    for path in ("/train", "/generate/sdxl", "/generate/lora"):
        answer = openapi["paths"][path]["post"]["responses"]["202"]
        assert "Location" in answer["headers"]
        assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/TaskAccepted"}
    [example] = openapi["components"]["schemas"]["TaskAccepted"]["examples"]
    assert TaskAccepted.model_validate(example).model_dump(mode="json") == example


def test_photo_form_is_described(openapi: dict[str, Any]) -> None:
    body = openapi["paths"]["/train"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]

    assert body["properties"]["files"]["maxItems"] == 100


def test_documentation_is_beside_the_page(http: httpx.Client) -> None:
    assert http.get("/docs").text != http.get("/").text
    assert http.get("/docs").status_code == http.get("/").status_code == 200
