"""Security headers of the HTML pages that the gateway serves: Content-Security-Policy and its companions. Pure.

Used by swagger_ui.py and by the router of the page. `security_headers.py` adds the headers that every response
has.
"""

from collections.abc import Iterable, Mapping

ISOLATION = {
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Browsers that know `frame-ancestors` ignore it.
    "X-Frame-Options": "DENY",
}
"""For every page: no addresses to other sites, no devices, and no access from pages of other origins."""

LOCKED = {"base-uri": ("'none'",), "form-action": ("'none'",), "frame-ancestors": ("'none'",)}
"""Directives that `default-src` does not cover, unless a page sets them itself."""


def page_headers(storage_origin: str | None) -> dict[str, str]:
    """The headers of the page at `/`: scripts and styles come from the gateway, none are inline.

    Pictures and clips may also come from object storage by presigned links, and uploads may go there.
    `storage_origin` is `ObjectStorage.link_origin()`; None: links have the gateway's own origin.
    """
    storage = () if storage_origin is None else (storage_origin,)
    policy = {
        "default-src": ("'self'",),
        "img-src": ("'self'", "blob:", "data:", *storage),
        "media-src": ("'self'", "blob:", *storage),
        "connect-src": ("'self'", *storage),
        "object-src": ("'none'",),
        # For the root path, without which links would be wrong under an address without a final slash.
        "base-uri": ("'self'",),
    }
    return headers_with_policy(policy)


def headers_with_policy(policy: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """The headers of a page with these directives, each with its sources."""
    directives = "; ".join(f"{name} {' '.join(sources)}" for name, sources in {**LOCKED, **policy}.items())
    return {"Content-Security-Policy": directives, **ISOLATION}
