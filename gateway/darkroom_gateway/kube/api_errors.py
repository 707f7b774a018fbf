"""Maps errors of the Kubernetes client to the gateway's errors, and documents to jobs. Used by kube/client.py."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from kubernetes.client.exceptions import ApiException
from pydantic import ValidationError

from darkroom_contract.jobs import Job, read_job
from darkroom_gateway.errors import ClusterUnavailableError, FieldError, RejectedError, UnreadableJobError
from darkroom_gateway.kube.watch_stream import EXPIRED, HistoryLostError

FORWARDED_STATUSES = frozenset({400, 403, 409, 422})
"""Refusals that are about the request. Every other one is about the cluster."""


@contextmanager
def mapped_errors(action: str) -> Iterator[None]:
    """Raises `HistoryLostError`, `RejectedError` or `ClusterUnavailableError` for errors of the client."""
    try:
        yield
    except ApiException as error:
        if error.status == EXPIRED:
            raise HistoryLostError(str(api_error(action, error))) from error
        raise api_error(action, error) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        never_sent = isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
        raise ClusterUnavailableError(
            f"The cluster did not {action}: it can't be reached. Try again shortly.", maybe_done=not never_sent
        ) from error


def api_error(action: str, error: ApiException) -> RejectedError | ClusterUnavailableError:
    """The error for an unsuccessful response of the API server. Pure."""
    status = _status_object(error)
    message = status.get("message") or error.reason or f"status {error.status}"
    if error.status in FORWARDED_STATUSES:
        causes = (status.get("details") or {}).get("causes") or []
        field_errors = tuple(FieldError(each.get("field", ""), each.get("message", "")) for each in causes)
        return RejectedError(error.status, f"The cluster refused to {action}: {message}", field_errors)
    if error.status == 404:
        message += ". Install Darkroom's CRDs (kubectl apply -f crds/), and check that the namespace exists"
    if error.status == 401:
        message = "it does not accept the gateway's credentials"
    return ClusterUnavailableError(f"The cluster did not {action}: {message}.", maybe_done=error.status >= 500)


def is_missing_object(error: ApiException) -> bool:
    """Whether a 404 is about the object. Without the CRDs, or without their API group, there is a 404 too."""
    return error.status == 404 and bool((_status_object(error).get("details") or {}).get("name"))


def is_existing_object(error: ApiException) -> bool:
    """Whether a 409 says that an object of this name exists."""
    return error.status == 409 and _status_object(error).get("reason") == "AlreadyExists"


def parse_job(document: dict[str, Any]) -> Job:
    """Raises `UnreadableJobError` when the schema of this release does not accept the job."""
    try:
        return read_job(document)
    except ValidationError as error:
        raise UnreadableJobError(
            f"{document['kind']}/{document['metadata']['name']} does not match the schema of this release: {error}. "
            "Another release probably created it. Delete it and submit it again."
        ) from error


def _status_object(error: ApiException) -> dict[str, Any]:
    """The `Status` object of the response; empty when the body is something else, such as a proxy's page."""
    try:
        status = json.loads(error.body or "")
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}
