"""What can go wrong in the local cluster, for people at a terminal.

LocalError            a message that says what to do; the CLI prints it and exits 1
├── StateInUseError        another process runs on this state folder
├── PortTakenError         a remembered port is used by another program
├── StartFailedError       a child exited, or was not ready in time
├── KubeconfigInvalidError a kubeconfig that can't be read, or asks for what we don't do
├── ApiError          the API server answered with an error
│   ├── NotFoundError          404
│   ├── ConflictError          409, and 422 for another uid
│   └── ExpiredError           410: the watch's resource version is too old
└── DemoFailedError        a job of the demo failed, or the gateway refused it
    └── GatewayUnavailableError   the gateway answered that something behind it is down
"""


class LocalError(Exception):
    """Base of everything this room raises on purpose."""


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


class GatewayUnavailableError(DemoFailedError):
    pass


class ApiError(LocalError):
    """The API server's answer to a request that it refused."""

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


_ANOTHER_UID = "metadata.uid: Invalid value"
"""What an API server says, with 422, of a patch that was meant for another object of this name."""


def api_error(status: int, reason: str, message: str) -> ApiError:
    """The error for an HTTP status."""
    if status == 422 and _ANOTHER_UID in message:
        return ConflictError(status, reason, message)
    return _BY_STATUS.get(status, ApiError)(status, reason, message)
