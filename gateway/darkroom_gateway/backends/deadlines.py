"""How long the gateway waits for its backends, in seconds. docs/api.md has the same table, and a test compares both.

A server that is down refuses connections at once. One that stands still (a stopped process, a dead link, a full disk)
takes them and never answers: then these are what ends the wait.

- *connect*: until the connection stands.
- *silence*: between two parts of an answer, enforced by the client of the backend.
- *total*: of the whole call with its retries, name look-ups and renewed credentials, enforced by backends/calls.py.
"""

TURN_SECONDS = 3.0
"""For one of the calls that a backend may have in progress, when all of them are taken."""

CLUSTER_CONNECT_SECONDS = 2.0
CLUSTER_READ_SILENCE_SECONDS = 5.0
CLUSTER_WRITE_SILENCE_SECONDS = 10.0
"""Longer than a read's: an API server asks admission webhooks first, whose own timeout is 10 s unless they set one."""
CLUSTER_READ_SECONDS = 8.0
"""One job, by its name, or the slots."""
CLUSTER_LIST_SECONDS = 15.0
"""All jobs of a kind, page by page."""
CLUSTER_WRITE_SECONDS = 20.0
"""A creation with the look whether it was made after all; a deletion with the looks before and behind it."""

STORAGE_CONNECT_SECONDS = 2.0
STORAGE_SILENCE_SECONDS = 4.0
STORAGE_SECONDS = 6.0
"""One small object or one listing."""
MODELS_SECONDS = 15.0
"""A listing and the records of all models in it, several at once."""
UPLOAD_SILENCE_SECONDS = 10.0
UPLOAD_SECONDS = 12.0
"""One photo, plus the time that its size takes at `UPLOAD_BYTES_PER_SECOND`."""
UPLOAD_BYTES_PER_SECOND = 1024**2

CREDENTIALS_SECONDS = 5.0
"""The first look for credentials of object storage, at the start. Later ones are renewed in the background."""

REDIS_SILENCE_SECONDS = 2.0
"""A connection or an answer, beyond the time that the read itself waits for new progress
(events/progress_streams.py)."""

READY_SECONDS = 2.0
"""All checks of /readyz together: they run in parallel. Below the timeout of the chart's readiness probe."""

CLEAN_UP_SECONDS = 2.0
"""How long an answer waits until the photos of a failed submission are removed. Their removal goes on behind it."""


def upload_seconds(size_bytes: int) -> float:
    """The total for storing an object of this size."""
    return UPLOAD_SECONDS + size_bytes / UPLOAD_BYTES_PER_SECOND
