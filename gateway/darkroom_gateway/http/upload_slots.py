"""Limits the disk space of concurrent uploads: each takes one or more slots of the temporary folder. Used on the event
loop, by the uploads of photos and of LoRA files."""

from collections.abc import Iterator
from contextlib import contextmanager

from darkroom_gateway.errors import TooManyUploadsError


class UploadSlots:
    """A number of slots, each for the largest upload of photos."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count

    @contextmanager
    def hold(self, slots: int = 1) -> Iterator[None]:
        """Raises `TooManyUploadsError` if fewer slots are free."""
        if slots > self._free:
            raise TooManyUploadsError(self._refusal(slots))
        self._free -= slots
        try:
            yield
        finally:
            self._free += slots

    def _refusal(self, slots: int) -> str:
        if slots == 1:
            return f"{self.count} uploads are already in progress. Send this one again later."
        return (
            f"This upload takes the space of {slots} of the {self.count} uploads that the gateway accepts at once, and "
            f"{self._free} are free. Send it again later."
        )
