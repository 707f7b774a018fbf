"""Why the node can't start a container."""


class CannotStartError(Exception):
    """A container can't be started now, but may be later. Reported as the reason of a waiting container."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.container = ""
        """The container concerned; empty for the whole pod."""


def config_error(message: str) -> CannotStartError:
    return CannotStartError("CreateContainerConfigError", message)
