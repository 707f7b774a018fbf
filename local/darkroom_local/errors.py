"""Errors of the local cluster.

LocalError                   the message says what to do; the CLI prints it and exits with 1
├── StateInUseError          another process holds the state directory
├── PortTakenError           another program listens on a port of this cluster
├── StartFailedError         a component exited, or was not ready in time
├── KubeconfigInvalidError   a kubeconfig that can't be read, or needs an unsupported feature
├── ApiError                 the API server answered with an error
│   ├── NotFoundError        404
│   ├── ConflictError        409, or 422 because the object of this name has another uid
│   └── ExpiredError         410: the watch's resource version is too old
└── DemoFailedError          a job of the demo failed, or the gateway rejected a request
"""


class LocalError(Exception):
    """Root of this package's errors."""


class StateInUseError(LocalError):
    pass


class PortTakenError(LocalError):
    pass


class StartFailedError(LocalError):
    pass


class KubeconfigInvalidError(LocalError):
    pass


class DemoFailedError(LocalError):
    pass


class ApiError(LocalError):
    """An error response of the API server."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class NotFoundError(ApiError):
    pass


class ConflictError(ApiError):
    pass


class ExpiredError(ApiError):
    pass


_BY_STATUS: dict[int, type[ApiError]] = {404: NotFoundError, 409: ConflictError, 410: ExpiredError}

_OTHER_UID = "metadata.uid: Invalid value"
"""In the message of a 422: the patch names the uid of another object of this name."""


def api_error(status: int, reason: str, message: str) -> ApiError:
    """The error for an HTTP status."""
    if status == 422 and _OTHER_UID in message:
        return ConflictError(status, reason, message)
    return _BY_STATUS.get(status, ApiError)(status, reason, message)
