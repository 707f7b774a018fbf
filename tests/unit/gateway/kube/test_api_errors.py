"""Mapping of API server responses to errors."""

import json
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from darkroom_gateway.errors import ClusterUnavailableError, FieldError, RejectedError
from darkroom_gateway.kube.api_errors import api_error


def answer(status: int, **document: Any) -> ApiException:
    error = ApiException(status=status, reason="Reason")
    error.body = json.dumps({"kind": "Status", **document})
    return error


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_refusal_of_the_request_is_forwarded(status: int) -> None:
    causes = [{"field": "spec.maxSteps", "message": "must be at least 1"}]
    error = api_error("create TrainJob/a", answer(status, message="is invalid", details={"causes": causes}))

    assert isinstance(error, RejectedError)
    assert error.status == status
    assert str(error) == "The cluster refused to create TrainJob/a: is invalid"
    assert error.field_errors == (FieldError("spec.maxSteps", "must be at least 1"),)


@pytest.mark.parametrize(("status", "maybe_done"), [(401, False), (404, False), (429, False), (500, True), (504, True)])
def test_other_refusals_are_outages(status: int, maybe_done: bool) -> None:
    error = api_error("create TrainJob/a", answer(status, message="said so"))

    assert isinstance(error, ClusterUnavailableError)
    assert (error.status, error.maybe_done) == (503, maybe_done)


def test_response_without_a_status_object_is_handled() -> None:
    error = ApiException(status=502, reason="Bad Gateway")
    error.body = "<html>"

    assert "Bad Gateway" in str(api_error("list trainjobs", error))


def test_missing_crds_are_named() -> None:
    assert "kubectl apply -f crds/" in str(api_error("list trainjobs", answer(404, message="not found")))
