"""HTTP sessions for addresses that users choose. Used by generation/image_links.py and webhooks/receiver.py.

Names are resolved once: the connection goes to the address that was checked (server-side request forgery, DNS
rebinding). No cookies, no credentials and no proxy of the environment are used. Redirects are left to the caller.
"""

import socket
from collections.abc import Mapping
from importlib.metadata import version

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from darkroom_gateway.outgoing.addresses import is_public
from darkroom_gateway.outgoing.name_lookups import NameLookups

RESOLVE_SECONDS = 5.0
CONNECT_SECONDS = 5.0


class PrivateAddressError(Exception):
    """A request would go to an address that is not public."""


class _Resolver(AbstractResolver):
    """Resolves names. With `public_only` it refuses those of which any address is not public. The connection goes to
    its results."""

    def __init__(self, lookups: NameLookups, seconds: float, *, public_only: bool) -> None:
        self._lookups = lookups
        self._seconds = seconds
        self._public_only = public_only

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._lookups.find(host, family, self._seconds)
        if self._public_only and not all(is_public(each.host) for each in found):
            raise PrivateAddressError
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=each.host, port=port, family=each.family, proto=each.protocol, flags=numeric
            )
            for each in found
        ]

    async def close(self) -> None:
        """The lookups belong to the caller of `new_session`."""


def new_session(
    lookups: NameLookups, *, public_only: bool, seconds: float, headers: Mapping[str, str], connections: int = 100
) -> aiohttp.ClientSession:
    """A session whose requests take at most `seconds`. With `public_only` they raise `PrivateAddressError` for names of
    other addresses; call `require_public` first for addresses in the URL itself, which are not resolved."""
    # A slow name fails before the whole request does, so that its error names the cause.
    resolver = _Resolver(lookups, min(RESOLVE_SECONDS, seconds / 2), public_only=public_only)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True, limit=connections),
        timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={"User-Agent": f"darkroom/{version('darkroom')}", "Accept-Encoding": "identity", **headers},
    )


def read_url(text: str) -> URL | None:
    """The parsed address; None unless it is http or https, with a host and without a user."""
    try:
        url = URL(text)
        _ = url.host  # Decoded on first access: raises `UnicodeError` for a host such as xn--.
    except ValueError:
        return None
    return url if url.scheme in ("http", "https") and url.host and url.user is None else None


def require_public(url: URL) -> None:
    """Raises `PrivateAddressError` for an IP address in the URL that is not public."""
    host = url.raw_host or ""
    # Whether the host is an address, as aiohttp decides which hosts it resolves.
    if aiohttp.helpers.is_ip_address(host) and not is_public(host):
        raise PrivateAddressError


def failure_words(error: Exception) -> str:
    """Why a request failed, without addresses and ports, which would show what the network looks like."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        is_late = isinstance(error.os_error, TimeoutError)
        return "the name was not resolved in time" if is_late else "the name is unknown"
    return "no connection" if isinstance(error, aiohttp.ClientConnectorError) else "its answer is not valid HTTP"
