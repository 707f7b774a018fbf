"""What can go wrong in the operator.

OperatorError
├── SettingsError          the environment can't be used: the process ends
├── LoginError             no credentials for the API server: the process ends
├── HistoryLostError       the API server has forgotten what it told before: the process ends, and begins anew
└── ApiError               the API server refused a request
    ├── UnreachableError   it did not answer at all
    ├── NotFoundError      404: the object is not there
    ├── QuotaExceededError 403: a ResourceQuota has no room for the object now
    ├── ConflictError      409: the object is no longer what the request was based on
    └── AlreadyExistsError 409: an object of that name is there
"""


class OperatorError(Exception):
    """Everything that the operator raises on purpose."""


class SettingsError(OperatorError):
    """An environment variable is missing or can't be read."""


class LoginError(OperatorError):
    """Neither a kubeconfig nor a service account tells how to reach the API server."""


class HistoryLostError(OperatorError):
    """Resource versions went backwards, as after a backup was restored: nothing that is remembered can be relied on."""


class ApiError(OperatorError):
    """The API server refused a request."""

    def __init__(self, request: str, code: int, reason: str, message: str) -> None:
        super().__init__(f"{request}: {code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def may_pass(self) -> bool:
        """Whether it says nothing about the request: the same one may be taken a moment later."""
        return self.code in (0, 429) or self.code >= 500


class UnreachableError(ApiError):
    """The API server did not answer."""

    def __init__(self, request: str, message: str) -> None:
        super().__init__(request, 0, "Unreachable", message)


class NotFoundError(ApiError):
    """There is no such object."""


class QuotaExceededError(ApiError):
    """A ResourceQuota has no room for it: not now, but perhaps as soon as something else has ended."""


class ConflictError(ApiError):
    """The object was changed in between, or is another of the same name."""


class AlreadyExistsError(ApiError):
    """An object of that name exists."""


QUOTA_WORDS = "exceeded quota"
"""What an API server says of a ResourceQuota. Its code and reason are those of every other 403."""


ANOTHER_UID_WORDS = "metadata.uid: Invalid value"
"""What an API server says of a patch that names another uid than the object has: to it that is no conflict, but an
attempt to change what can't be changed."""


def api_error(request: str, code: int, reason: str, message: str) -> ApiError:
    """The error for an answer of the API server. A 404 without its reason is a proxy's, or an API server's that does
    not serve the kind yet: nothing follows from it for the object."""
    if code == 403 and QUOTA_WORDS in message:
        return QuotaExceededError(request, code, reason, message)
    if code == 404 and reason == "NotFound":
        return NotFoundError(request, code, reason, message)
    if code == 422 and ANOTHER_UID_WORDS in message:
        return ConflictError(request, code, reason, message)
    if code == 409:
        kind = AlreadyExistsError if reason == "AlreadyExists" else ConflictError
        return kind(request, code, reason, message)
    return ApiError(request, code, reason, message)
