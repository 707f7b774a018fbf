"""Counts the open event streams of all endpoints, and refuses those beyond the limit."""

from darkroom_gateway.errors import TooManyStreamsError


class Places:
    """Used on the event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    def take(self) -> None:
        """Raises `TooManyStreamsError`. Each place that was taken must be given back once."""
        if self.taken >= self._limit:
            raise TooManyStreamsError(
                f"This gateway has reached its limit of {self._limit} event streams. "
                "Try again later, or poll the job's status."
            )
        self.taken += 1

    def give_back(self) -> None:
        self.taken -= 1
