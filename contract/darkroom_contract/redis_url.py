"""Refuses addresses of Redis that redis-py takes for those of another server. Pure.

An address ends its authority at the first `/`, `?` or `#`. In `redis://:2024/secret@redis:6379/0` that is within the
password: redis-py connects to port 2024 of this machine, and its errors name what it took for the server. Where the
password does not begin with digits redis-py refuses the port itself.
"""

import re
from urllib.parse import urlsplit

REDIS_URL_FORM = (
    "Use redis://user:password@host:6379/0. Percent-encode every character of its password except letters and digits, "
    "and every @ after the host. After '?' use only options of redis-py, such as protocol=3."
)
"""For errors, which repeat nothing of the address: it has a password."""

_DATABASE = re.compile(r"/?|/[0-9]+")


def check_redis_url(url: str) -> None:
    """Raises `ValueError`, without a text of its own, for an address whose password ends its authority."""
    try:
        parts = urlsplit(url)
    except ValueError:
        # Its message may have the authority, and so the password.
        raise ValueError from None
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError
    if parts.scheme != "unix" and _DATABASE.fullmatch(parts.path) is None:
        raise ValueError
