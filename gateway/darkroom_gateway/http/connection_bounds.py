"""What a client may cost the gateway before its request is looked at: connections, time and bytes.

Read from the environment by settings.py; kept by http/protocol.py (heads, answers, connections) and http/body_limit.py
(bodies). docs/api.md has the table.
"""

import logging
import resource
from dataclasses import dataclass, replace

log = logging.getLogger(__name__)

MAX_URL_BYTES = 48 * 1024
"""Parameters travel in the URL. The longest that they can be, three texts of 1,000 characters of 12 bytes each when
percent-encoded, take 36 kB; httptools itself ends at 64 KiB."""

BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
"""By which a request says that it has a body, and where that ends."""

MAX_PIPELINED_REQUESTS = 16
"""How many requests of one connection may wait for the answer to an earlier one. Common clients send none so."""

RESERVED_CONNECTIONS = 64
"""Beyond the limit, for probes: a gateway that is busy must not be restarted for it."""

RESERVED_DESCRIPTORS = 512
"""Files that are no client's connection: object storage, the API server, Redis, photo decoders, some uploads."""


@dataclass(frozen=True)
class ConnectionBounds:
    """All of them per connection but the first. Seconds may have a fraction, for tests."""

    max_connections: int = 4096
    """More are answered 503. A thousand people who watch events and poll beside that fit in."""
    header_seconds: float = 10
    """How long a client may take to send a request's head, from connecting or from its first byte."""
    max_header_bytes: int = 16 * 1024
    """All header fields together; what proxies and single sign-on add fits in. The URL has a limit of its own."""
    max_headers: int = 100
    body_seconds: float = 30
    """How long the gateway waits for the next piece of a body; and how long for a body that is slower than allowed."""
    min_body_bytes_per_second: int = 32 * 1024
    """The pace of a body on average, once `body_seconds` are over: 256 kbit/s. So 501 MiB take 4.5 hours at most."""
    keep_alive_seconds: int = 75
    """How long a connection may be idle between requests: longer than common proxies (60 s) keep theirs, for a proxy
    that sends a request on a connection that the gateway just closed answers 502."""
    write_seconds: float = 60
    """How long a client may take nothing of an answer that is under way."""


def fit_to_descriptors(bounds: ConnectionBounds, upload_files: int) -> ConnectionBounds:
    """The bounds with as many connections as this process may have open files for.

    Raises the soft limit as far as needed and allowed, for `upload_files` photos on disk too; where the hard limit is
    too low there are fewer connections, and a warning says so. A server without descriptors left can accept nothing,
    and spins on its listening socket; an upload without them is answered 503.
    """
    wanted = bounds.max_connections + RESERVED_CONNECTIONS + RESERVED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + upload_files:
        raised = wanted + upload_files
        soft = raised if hard == resource.RLIM_INFINITY else min(hard, raised)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (ValueError, OSError):  # macOS has an upper limit that it does not tell as the hard one.
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return bounds
    fewer = max(1, soft - (wanted - bounds.max_connections))
    log.warning(
        "this process may have %d open files: it takes %d connections at most, not %d. "
        "Raise the hard limit (ulimit -Hn), or set DARKROOM_GATEWAY_MAX_CONNECTIONS",
        *(soft, fewer, bounds.max_connections),
    )
    return replace(bounds, max_connections=fewer)
