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
            raise TooManyUploadsError(
                f"Other uploads take {self.count - self._free} of the {self.count} parts of the temporary folder, and "
                f"this one needs {slots}. Send it again later."
            )
        self._free -= slots
        try:
            yield
        finally:
            self._free += slots
