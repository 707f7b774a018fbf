"""Protection against DNS rebinding and cross-site request forgery. Middleware, installed by app.py; pure decisions.

A gateway without API keys trusts every client that can reach it, and a web page reaches what its reader's browser can:

- A page can point its own name to the gateway's address (DNS rebinding), and then has the same origin. Its requests
  have that name as `Host`: names that are not the gateway's are refused.
- A page of any site can send a form to the gateway, although it can't read the response (cross-site request forgery).
  Browsers send `Sec-Fetch-Site` or `Origin`: state-changing requests from other origins are refused. The rules are
  those of Go's `http.CrossOriginProtection` (https://words.filippo.io/csrf/).

With API keys neither attack works, because pages don't have the key and browsers don't add it.
"""

import logging
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom_gateway.errors import CrossSiteError, ForeignHostError, GatewayError, MalformedRequestError
from darkroom_gateway.http.body_limit import refuse_unread
from darkroom_gateway.http.host_names import HostNames

log = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_error(
    scope: Scope, own: HostNames, *, open_to_all: bool, trusted: Collection[str] = ()
) -> GatewayError | None:
    """The error for the request's Host or origin; None when both are accepted. Pages of `trusted` origins may change
    everything."""
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        if name in _HEADERS:
            headers.setdefault(name, []).append(value)
    hosts = headers.get(b"host", [])
    if len(hosts) != 1 and not (not hosts and scope["http_version"] == "1.0"):
        return MalformedRequestError(f"Send one Host header: the request has {len(hosts)}.")
    host = hosts[0].decode("latin-1").lower() if hosts else None
    if host is not None and not own.include(_without_port(host)):
        return ForeignHostError(
            f"{host!r} is not one of this gateway's host names. Use its own address, "
            "or add the name to DARKROOM_GATEWAY_ALLOWED_HOSTS."
        )
    is_change = open_to_all and scope["method"] not in SAFE_METHODS
    if is_change and _is_cross_site(headers, host) and not _is_trusted(headers, trusted):
        return CrossSiteError(
            "A web page of another origin sent this request, and this gateway requires no API key. "
            "Send it from a program or a page of the gateway's own origin, or add the page's origin to "
            "DARKROOM_GATEWAY_CORS_ORIGINS."
        )
    return None


_HEADERS = frozenset({b"host", b"origin", b"sec-fetch-site"})


def _is_cross_site(headers: dict[bytes, list[bytes]], host: str | None) -> bool:
    """Programs send neither header. Browsers send Sec-Fetch-Site; older ones send only Origin."""
    sites = headers.get(b"sec-fetch-site")
    if sites is not None:
        return any(each not in (b"same-origin", b"none") for each in sites)
    return any(not _is_origin_of(each.decode("latin-1").lower(), host) for each in headers.get(b"origin", []))


def _is_trusted(headers: dict[bytes, list[bytes]], trusted: Collection[str]) -> bool:
    """Whether the page has one of these origins. Browsers send `Origin` with every cross-origin change."""
    origins = headers.get(b"origin", [])
    return len(origins) == 1 and origins[0].decode("latin-1") in trusted


def _is_origin_of(origin: str, host: str | None) -> bool:
    """Whether the origin has this host. Schemes may differ, because a proxy may have terminated TLS."""
    if host is None:
        return False
    try:
        parts = urlsplit(origin)
        served = urlsplit(f"{parts.scheme}://{host}")
        default = DEFAULT_PORTS.get(parts.scheme)
        return (
            parts.hostname is not None
            and default is not None
            and (parts.hostname, parts.port or default) == (served.hostname, served.port or default)
        )
    except ValueError:
        return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        address, bracket, _ = host[1:].partition("]")
        return address if bracket else host
    return host.partition(":")[0].removesuffix(".")


class OriginCheckMiddleware:
    """Responds 421 to a foreign Host and 403 to cross-site changes, before the body is read."""

    def __init__(self, app: ASGIApp, own: HostNames, *, open_to_all: bool, trusted: Collection[str] = ()) -> None:
        """`trusted` origins are those of http/origins.py."""
        self._app = app
        self._own = own
        self._open_to_all = open_to_all
        self._trusted = frozenset(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = None
        if scope["type"] == "http":
            error = origin_error(scope, self._own, open_to_all=self._open_to_all, trusted=self._trusted)
        if error is None:
            await self._app(scope, receive, send)
            return
        log.info("%s %s: %s", scope["method"], scope["path"], error)
        await refuse_unread(error, scope, receive, send)
