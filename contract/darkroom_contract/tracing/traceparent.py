"""The `traceparent` of W3C Trace Context, which carries a trace from one process to the next. Pure."""

import re

_USABLE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid_traceparent(given: object) -> str | None:
    """The value, or None if it is not a traceparent: anyone with write access to jobs can set the annotation."""
    return given if isinstance(given, str) and _USABLE.fullmatch(given) else None
