"""The errors of the operator.

OperatorError
├── SettingsError          an environment variable is missing or invalid: the process exits
├── LoginError             no credentials for the API server: the process exits
├── HistoryLostError       resource versions went backwards: the process exits and is restarted
└── ApiError               the API server refused a request
    ├── UnreachableError   it did not answer
    ├── NotFoundError      404: the object does not exist
    ├── QuotaExceededError 403: the object exceeds a ResourceQuota
    ├── ConflictError      409: the object has changed since it was read
    └── AlreadyExistsError 409: an object of that name exists
"""


class OperatorError(Exception):
    """Base class of the operator's errors."""


class SettingsError(OperatorError):
    """An environment variable is missing or invalid."""


class LoginError(OperatorError):
    """Neither a kubeconfig nor a service account gives access to the API server."""


class HistoryLostError(OperatorError):
    """Resource versions went backwards, for example after a backup was restored: the cache is worthless."""


class ApiError(OperatorError):
    """The API server refused a request."""

    def __init__(self, request: str, code: int, reason: str, message: str) -> None:
        super().__init__(f"{request}: {code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later: the error says nothing about the request itself."""
        return self.code in (0, 429) or self.code >= 500


class UnreachableError(ApiError):
    """The API server did not answer."""

    def __init__(self, request: str, message: str) -> None:
        super().__init__(request, 0, "Unreachable", message)


class NotFoundError(ApiError):
    """The object does not exist."""


class QuotaExceededError(ApiError):
    """The object exceeds a ResourceQuota. It may fit as soon as another object is gone."""


class ConflictError(ApiError):
    """The object has changed since it was read, or is another one of the same name."""


class AlreadyExistsError(ApiError):
    """An object of that name exists."""


QUOTA_MESSAGE = "exceeded quota"
"""In the message of a 403 by a ResourceQuota. Code and reason are the same as for any other 403."""

UID_CHANGED_MESSAGE = "metadata.uid: Invalid value"
"""In the message of a 422 for a patch with a uid that the object does not have: the API server treats it as an attempt
to change an immutable field, not as a conflict."""


def api_error(request: str, code: int, reason: str, message: str) -> ApiError:
    """The error for a response of the API server.

    A 404 without the reason NotFound comes from a proxy, or from an API server that does not serve the kind yet. It
    says nothing about the object.
    """
    if code == 403 and QUOTA_MESSAGE in message:
        return QuotaExceededError(request, code, reason, message)
    if code == 404 and reason == "NotFound":
        return NotFoundError(request, code, reason, message)
    if code == 422 and UID_CHANGED_MESSAGE in message:
        return ConflictError(request, code, reason, message)
    if code == 409:
        kind = AlreadyExistsError if reason == "AlreadyExists" else ConflictError
        return kind(request, code, reason, message)
    return ApiError(request, code, reason, message)
