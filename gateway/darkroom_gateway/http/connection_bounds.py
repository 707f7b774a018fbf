"""Limits for client connections: their number, and the time and bytes of requests and responses.

Read from the environment by settings.py; enforced by http/protocol.py (heads, responses, connections) and
http/body_limit.py (bodies). docs/api.md has the table.
"""

import logging
import resource
from dataclasses import dataclass, replace

log = logging.getLogger(__name__)

MAX_URL_BYTES = 48 * 1024
"""Parameters are in the URL. At most, three texts of 1,000 characters with 12 bytes each when percent-encoded, they
take 36 kB. The limit of httptools is 64 KiB."""

BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that announce a request body."""

MAX_PIPELINED_REQUESTS = 16
"""Requests of a connection that may wait for the response to an earlier one. Common clients don't pipeline."""

RESERVED_CONNECTIONS = 64
"""Connections beyond the limit, for probes: a gateway at its limit must not be restarted."""

RESERVED_DESCRIPTORS = 512
"""File descriptors for other purposes: object storage, the API server, Redis, photo decoders, some uploads."""


@dataclass(frozen=True)
class ConnectionBounds:
    """Limits per connection, except `max_connections`. Tests use fractions of seconds."""

    max_connections: int = 4096
    """More connections get a 503. Enough for a thousand people who watch events and poll."""
    header_seconds: float = 10
    """Timeout for the head of a request, from the connection or from its first byte."""
    max_header_bytes: int = 16 * 1024
    """All header fields together, with room for those of proxies and single sign-on. The URL has its own limit."""
    max_headers: int = 100
    body_seconds: float = 30
    """Timeout for the next block of a body, and grace period for a body below the minimum rate."""
    min_body_bytes_per_second: int = 32 * 1024
    """Minimum average rate of a body after `body_seconds`: 256 kbit/s. So 501 MiB take at most 4.5 hours."""
    keep_alive_seconds: int = 75
    """Idle timeout between requests. Longer than that of common proxies (60 s): a proxy that sends a request on a
    connection that the gateway has just closed responds 502."""
    write_seconds: float = 60
    """How long a client may read nothing of a response."""


def fit_to_descriptors(bounds: ConnectionBounds, upload_files: int) -> ConnectionBounds:
    """The bounds with `max_connections` reduced to what the limit of open files allows.

    Raises the soft limit as far as needed and allowed, including `upload_files` photos on disk. If the hard limit is
    too low, reduces the number of connections and logs a warning. A server without free descriptors can't accept
    connections and spins on its listening socket; an upload without them gets a 503.
    """
    wanted = bounds.max_connections + RESERVED_CONNECTIONS + RESERVED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + upload_files:
        raised = wanted + upload_files
        soft = raised if hard == resource.RLIM_INFINITY else min(hard, raised)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (ValueError, OSError):  # The real upper limit on macOS is lower than the reported hard limit.
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return bounds
    fewer = max(1, soft - (wanted - bounds.max_connections))
    log.warning(
        "the limit of %d open files allows %d connections, not %d. "
        "Raise the hard limit (ulimit -Hn), or lower DARKROOM_GATEWAY_MAX_CONNECTIONS",
        *(soft, fewer, bounds.max_connections),
    )
    return replace(bounds, max_connections=fewer)
