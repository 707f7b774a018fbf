"""The error for each response of the API server, with the messages of a real one (1.36)."""

import pytest

from darkroom_operator.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    NotFoundError,
    QuotaExceededError,
    api_error,
)

ANOTHER_UID = 'Pod "p" is invalid: metadata.uid: Invalid value: "1-2-3": field is immutable'
OTHER_FIELD = 'Pod "p" is invalid: spec.containers[0].image: Required value'
FULL = 'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'


@pytest.mark.parametrize(
    ("code", "reason", "message", "kind"),
    [
        (404, "NotFound", 'pods "p" not found', NotFoundError),
        (404, "", "404 page not found", ApiError),
        (409, "AlreadyExists", 'pods "p" already exists', AlreadyExistsError),
        (409, "Conflict", "the object has been modified", ConflictError),
        (422, "Invalid", ANOTHER_UID, ConflictError),
        (422, "Invalid", OTHER_FIELD, ApiError),
        (403, "Forbidden", FULL, QuotaExceededError),
        (403, "Forbidden", 'pods "p" is forbidden: violates PodSecurity "restricted"', ApiError),
    ],
)
def test_a_response_maps_to_its_error(code: int, reason: str, message: str, kind: type[ApiError]) -> None:
    error = api_error("POST /pods", code, reason, message)
    assert type(error) is kind
    assert message in str(error)
