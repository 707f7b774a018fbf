"""Timeouts of the gateway's backends, in seconds. docs/api.md has the same table, and a test compares them.

A server that is down refuses connections immediately. One that hangs (a stopped process, a dead link, a full disk)
accepts them and never responds: then these timeouts apply.

- *connect*: until the connection is established.
- *silence*: between two parts of a response, enforced by the client of the backend.
- *total*: the whole call with retries, DNS lookups and renewed credentials, enforced by backends/calls.py.
"""

TURN_SECONDS = 3.0
"""Maximum wait for the concurrency limit of a backend."""

CLUSTER_CONNECT_SECONDS = 2.0
CLUSTER_READ_SILENCE_SECONDS = 5.0
CLUSTER_WRITE_SILENCE_SECONDS = 10.0
"""Longer than for reads: an API server calls admission webhooks first, whose default timeout is 10 s."""
CLUSTER_READ_SECONDS = 8.0
"""One job by name, or the slots."""
CLUSTER_LIST_SECONDS = 15.0
"""All jobs of a kind, page by page."""
CLUSTER_WRITE_SECONDS = 20.0
"""A creation, with the check after an outage whether the job exists; a deletion, with the reads around it."""

STORAGE_CONNECT_SECONDS = 2.0
STORAGE_SILENCE_SECONDS = 4.0
STORAGE_SECONDS = 6.0
"""One small object or one listing."""
MODELS_SECONDS = 15.0
"""A listing, and the records of all its models, read concurrently."""
UPLOAD_SILENCE_SECONDS = 10.0
UPLOAD_SECONDS = 12.0
"""One photo, plus the time that its size takes at `UPLOAD_BYTES_PER_SECOND`."""
UPLOAD_BYTES_PER_SECOND = 1024**2

CREDENTIALS_SECONDS = 5.0
"""The first request for object storage credentials, at the start. Later ones are renewed in the background."""

REDIS_SILENCE_SECONDS = 2.0
"""A connection or a response, not counting the time that a read blocks for new progress (progress_streams.py)."""

READY_SECONDS = 2.0
"""All checks of /readyz, which run in parallel. Below the timeout of the chart's readiness probe."""

CLEAN_UP_SECONDS = 2.0
"""How long the response to a failed submission waits for the removal of its photos, which continues after it."""


def upload_seconds(size_bytes: int) -> float:
    """Total timeout for storing an object of this size."""
    return UPLOAD_SECONDS + size_bytes / UPLOAD_BYTES_PER_SECOND
