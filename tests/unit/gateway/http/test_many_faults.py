"""Requests with thousands of faults: the answer lists some and counts all, and the gateway compares few names."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request

from darkroom_contract import similar_names
from darkroom_gateway.errors import FieldError, InvalidRequestError, invalid_request
from darkroom_gateway.http.problems import MAX_FIELD_ERRORS, problem_of
from darkroom_gateway.http.unexpected_input import MAX_PARAMETERS, reject_unexpected_input
from darkroom_gateway.v1.bodies import MAX_JSON_VALUES, parse_object

MANY = MAX_FIELD_ERRORS + 5


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were compared with known ones."""
    names: list[str] = []
    monkeypatch.setattr(similar_names, "get_close_matches", lambda name, *_: names.append(name) or [])
    return names


def refused(response: httpx.Response, count: int) -> list[str]:
    """The parameters that a response names, which says that there are `count`."""
    problem = response.json()
    assert response.status_code == 422, response.text
    assert f"There are {count} faults in all; the first {MAX_FIELD_ERRORS} are listed." in problem["detail"]
    return [each["parameter"] for each in problem["errors"]]


def test_few_faults_are_not_counted() -> None:
    problem = problem_of(invalid_request(FieldError(f"f{number}", "Wrong.") for number in range(MAX_FIELD_ERRORS)))

    assert len(problem.errors) == MAX_FIELD_ERRORS
    assert "in all" not in problem.detail


def test_body_with_many_faults_says_how_many(http: httpx.Client) -> None:
    unknown = {f"field{number}": 1 for number in range(MANY - 1)}

    response = http.post("/v1/generate-jobs", json={"priority": "high", "prompt": "a", **unknown})

    assert refused(response, MANY) == list(unknown)[:MAX_FIELD_ERRORS]


def test_query_with_many_faults_says_how_many(http: httpx.Client) -> None:
    unknown = {f"parameter{number}": "1" for number in range(MANY)}

    assert refused(http.get("/v1/jobs", params=unknown), MANY) == list(unknown)[:MAX_FIELD_ERRORS]


def test_upload_with_many_faults_says_how_many(http: httpx.Client) -> None:
    names = [f"{number}.jpg" for number in range(MANY)]
    files = [("files", (name, b"no photo")) for name in names]

    response = http.post("/train", params={"prompt": "sks dog", "model_id": "dog"}, files=files)

    assert refused(response, MANY) == names[:MAX_FIELD_ERRORS]


def test_captions_without_photos_are_counted(http: httpx.Client) -> None:
    files = [("files", ("a.jpg", b"photo")), *(("files", (f"{number}.txt", b"a dog")) for number in range(MANY))]

    response = http.post("/train", params={"prompt": "sks dog", "model_id": "dog"}, files=files)

    assert len(refused(response, MANY)) == MAX_FIELD_ERRORS


async def _refusal(query: str) -> list[Any]:
    """The errors of a query string at an endpoint that has one parameter."""
    app = FastAPI()

    @app.get("/things")
    async def things(limit: int = 1) -> int:
        return limit

    route = next(each for each in app.routes if getattr(each, "path", "") == "/things")
    scope = {"type": "http", "method": "GET", "path": "/things", "headers": [], "app": app, "route": route}
    with pytest.raises(RequestValidationError) as refusal:
        await reject_unexpected_input(Request({**scope, "query_string": query.encode()}))
    return list(refusal.value.errors())


async def test_only_names_that_are_listed_are_compared(compared: list[str]) -> None:
    errors = await _refusal("&".join(f"p{number}=" for number in range(MAX_PARAMETERS)))

    assert len(errors) == MAX_PARAMETERS
    assert len(compared) == MAX_FIELD_ERRORS


@pytest.mark.parametrize("query", ["&".join(f"p{n}=" for n in range(12_000)), "limit=1&" * 6000])
async def test_query_string_with_thousands_of_parameters_is_refused_at_once(query: str, compared: list[str]) -> None:
    [error] = await _refusal(query)

    assert f"Send at most {MAX_PARAMETERS} parameters" in error["msg"]
    assert compared == []


def test_long_name_is_not_compared(compared: list[str]) -> None:
    assert similar_names.similar_name("prompt" * 10_000, ["prompt"]) is None
    assert compared == []


def test_long_name_is_not_repeated(http: httpx.Client) -> None:
    for path in ("/v1/generate-jobs", "/v1/images/generations"):
        response = http.post(path, json={"prompt": "a", "prompt" * 10_000: 1})
        assert response.status_code in (400, 422)
        assert len(response.content) < 2000


@pytest.mark.parametrize(
    "text",
    ['{"a": [' + "1," * MAX_JSON_VALUES + "1]}", '{"a": [[' + "{}, " * MAX_JSON_VALUES + "{}], 1]}"],
)
def test_body_with_thousands_of_values_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"body: Send at most {MAX_JSON_VALUES} values"):
        parse_object(text.encode(), "body")
