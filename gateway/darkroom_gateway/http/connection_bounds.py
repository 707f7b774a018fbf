"""Limits for client connections: their number, and the time and bytes of requests and responses.

Read from the environment by settings.py; enforced by http/protocol.py (heads, responses, connections) and
http/body_limit.py (bodies). docs/api.md has the table.
"""

import logging
import resource

from darkroom_contract.settings import EnvironmentSettings, WholeNumber, WholeSeconds, variable
from darkroom_gateway.errors import SettingsError

log = logging.getLogger(__name__)

MAX_URL_BYTES = 48 * 1024
"""Parameters are in the URL. Prompt, class prompt and validation prompt of 1,000 characters with 12 bytes each when
percent-encoded take 36 kB. The eight `validation_prompts` of a training fit too in ASCII (11 kB for all texts), but not
in any script: then a TrainJob in YAML has them. The limit of httptools is 64 KiB."""

BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that announce a request body."""

MAX_PIPELINED_REQUESTS = 16
"""Requests of a connection that may wait for the response to an earlier one. Common clients don't pipeline."""

RESERVED_CONNECTIONS = 64
"""Connections beyond the limit, for probes: a gateway at its limit must not be restarted."""

RESERVED_DESCRIPTORS = 512
"""File descriptors for other purposes: object storage, the API server, Redis, photo decoders, some uploads."""


class ConnectionBounds(EnvironmentSettings):
    """All but the first apply to one connection."""

    error_type = SettingsError

    max_connections: WholeNumber = variable("DARKROOM_GATEWAY_MAX_CONNECTIONS", 4096, ge=1, le=65_536)
    """Open connections, event streams included; more get `503`. The default fits a thousand people who watch events and
    poll."""
    header_seconds: WholeSeconds = variable("DARKROOM_GATEWAY_HEADER_SECONDS", 10.0, ge=1, le=600)
    """Time to send a request's URL and headers, from connecting or from the first byte."""
    max_header_bytes: WholeNumber = variable("DARKROOM_GATEWAY_MAX_HEADER_BYTES", 16 * 1024, ge=1024, le=256 * 1024)
    """Size of all headers together. The URL has a limit of its own."""
    max_headers: WholeNumber = variable("DARKROOM_GATEWAY_MAX_HEADERS", 100, ge=10, le=1000)
    """Number of headers."""
    body_seconds: WholeSeconds = variable("DARKROOM_GATEWAY_BODY_SECONDS", 30.0, ge=1, le=3600)
    """How long the gateway waits for the next piece of a body, and before it enforces the average pace."""
    min_body_bytes_per_second: WholeNumber = variable(
        "DARKROOM_GATEWAY_MIN_BODY_BYTES_PER_SECOND", 32 * 1024, ge=1, le=1024**3
    )
    """Minimum average pace of a body that takes longer than `DARKROOM_GATEWAY_BODY_SECONDS`: 256 kbit/s. The largest
    upload then takes at most 4.5 h."""
    keep_alive_seconds: WholeNumber = variable("DARKROOM_GATEWAY_KEEP_ALIVE_SECONDS", 75, ge=1, le=3600)
    """How long a connection may be idle between requests. Keep it above the idle timeout of a proxy in front (often
    60 s): a proxy that reuses a connection that was just closed answers `502`."""
    write_seconds: WholeSeconds = variable("DARKROOM_GATEWAY_WRITE_SECONDS", 60.0, ge=1, le=3600)
    """How long a client may read nothing of its answer."""


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
    return bounds.model_copy(update={"max_connections": fewer})
