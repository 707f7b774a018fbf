"""Whether a request may come from a web page, and from which. Middleware, installed by app.py; decisions are pure.

A gateway without API keys trusts all who reach it, and a web page reaches whatever its reader's browser reaches:

- A page can have its own name lead to the gateway's address (DNS rebinding) and is then of one origin with it. Its
  requests carry that name as `Host`: names that are not the gateway's own are refused.
- A page of any site can send a form to the gateway, without being able to read the answer (cross-site request
  forgery). Browsers say so in `Sec-Fetch-Site` or `Origin`: such requests are refused where they would change
  something. The rules are those of Go's `http.CrossOriginProtection` (https://words.filippo.io/csrf/).

With API keys neither works, for a page doesn't have the key and browsers don't add it.
"""

import logging
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom_gateway.errors import CrossSiteError, ForeignHostError, GatewayError, MalformedRequestError
from darkroom_gateway.http.body_limit import refuse_unread
from darkroom_gateway.http.host_names import HostNames

log = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEFAULT_PORTS = {"http": 80, "https": 443}


def complaint(scope: Scope, own: HostNames, *, open_to_all: bool) -> GatewayError | None:
    """What is wrong with where a request comes from; None when nothing is."""
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        if name in _LOOKED_AT:
            headers.setdefault(name, []).append(value)
    hosts = headers.get(b"host", [])
    if len(hosts) != 1 and not (not hosts and scope["http_version"] == "1.0"):
        return MalformedRequestError(f"A request has one Host header, this one has {len(hosts)}.")
    host = hosts[0].decode("latin-1").lower() if hosts else None
    if host is not None and not own.include(_without_port(host)):
        return ForeignHostError(
            f"{host!r} is none of this gateway's names. Use its own address, "
            "or have DARKROOM_GATEWAY_ALLOWED_HOSTS name this one."
        )
    if open_to_all and scope["method"] not in SAFE_METHODS and _is_cross_site(headers, host):
        return CrossSiteError(
            "A web page of another origin sent this, and this gateway asks for no API key. "
            "Send it from a program, or from a page of the gateway's own address."
        )
    return None


_LOOKED_AT = frozenset({b"host", b"origin", b"sec-fetch-site"})


def _is_cross_site(headers: dict[bytes, list[bytes]], host: str | None) -> bool:
    """Programs send neither header. A browser that sends the first tells all; older ones send the second."""
    sites = headers.get(b"sec-fetch-site")
    if sites is not None:
        return any(each not in (b"same-origin", b"none") for each in sites)
    return any(not _is_origin_of(each.decode("latin-1").lower(), host) for each in headers.get(b"origin", []))


def _is_origin_of(origin: str, host: str | None) -> bool:
    """Whether a page of that origin was served under that Host. A proxy may have ended TLS: the schemes may differ."""
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
    """Answers 421 to a foreign Host and 403 to another site's change, before anything of a body is read."""

    def __init__(self, app: ASGIApp, own: HostNames, *, open_to_all: bool) -> None:
        self._app = app
        self._own = own
        self._open_to_all = open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = complaint(scope, self._own, open_to_all=self._open_to_all) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
            return
        log.info("%s %s: %s", scope["method"], scope["path"], error)
        await refuse_unread(error, scope, receive, send)
