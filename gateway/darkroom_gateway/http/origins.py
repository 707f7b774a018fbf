"""Web origins that pages may call the gateway from (CORS). Pure parsing, and the middleware; used by settings.py and
app.py.

Closed by default: without the setting no response has a CORS header, so browsers keep responses from pages of other
origins. Cookies are never used, so credentials in the sense of CORS are not allowed; an API key is sent in a header.
"""

import re
from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

ANY_ORIGIN = "*"

_ORIGIN = re.compile(r"https?://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DEFAULT_PORTS = (("http://", ":80"), ("https://", ":443"))

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
REQUEST_HEADERS = ("Authorization", "Idempotency-Key", "Last-Event-ID", "Prefer", "X-Request-ID", "traceparent")
"""Headers that pages may send, besides those that need no permission."""
RESPONSE_HEADERS = (
    "Content-Disposition",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
"""Headers that pages may read."""
PREFLIGHT_SECONDS = 7200
"""How long browsers remember a preflight. Chromium's maximum."""


def read_origins(text: str) -> tuple[str, ...]:
    """Parse origins separated by commas or spaces, as browsers send them. Raises `ValueError`."""
    return tuple(_read_origin(each) for each in text.replace(",", " ").split())


def _read_origin(given: str) -> str:
    origin = given.lower()
    if origin != ANY_ORIGIN and not _ORIGIN.fullmatch(origin):
        raise ValueError(
            f"{given!r} is not an origin: use one such as https://studio.example.org or http://localhost:5173, "
            "without a path; or * for all."
        )
    for scheme, port in _DEFAULT_PORTS:  # Browsers leave it out.
        if origin.startswith(scheme):
            origin = origin.removesuffix(port)
    return origin


class CorsMiddleware(CORSMiddleware):
    """Answers preflights, and lets pages of these origins read responses.

    It runs before the API key is checked, because browsers send preflights without one.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
            max_age=PREFLIGHT_SECONDS,
        )
