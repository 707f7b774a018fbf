"""Configuration of the HTTP server: HTTP/1.1 by httptools on uvloop, with limits. Used by main.py.

uvicorn's default, `auto`, depends on the installed packages, and could differ between a laptop, the image and tests.
Compared to h11 and asyncio, a poll takes a third to a half less CPU time (`python benchmarks/http_server.py`).
"""

import socket
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from darkroom_gateway.http.connection_bounds import ConnectionBounds
from darkroom_gateway.http.protocol import protocol_class

LOOP = "uvloop"

TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)
"""Linux only."""


def server_config(
    app: ASGIApp, host: str, port: int, bounds: ConnectionBounds, graceful_shutdown_seconds: int
) -> uvicorn.Config:
    """All settings of the HTTP server. None come from the environment."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol_class(bounds),
        loop=LOOP,
        ws="none",
        interface="asgi3",
        workers=1,
        # The gateway does not use the client's address or scheme, so it trusts no proxy headers.
        proxy_headers=False,
        timeout_keep_alive=bounds.keep_alive_seconds,
        timeout_graceful_shutdown=graceful_shutdown_seconds,
        access_log=False,
        log_config=None,
        server_header=False,
    )


def drop_stalled_clients(listeners: Sequence[socket.socket], bounds: ConnectionBounds) -> None:
    """Set TCP_USER_TIMEOUT: the system aborts connections whose client acknowledges nothing for `write_seconds`.

    Connections inherit it from the listening socket. http/protocol.py watches the process's write buffer; this covers
    the system's buffer, such as the pings of a stream whose client has left the network.
    """
    if TCP_USER_TIMEOUT is None:
        return
    for listener in listeners:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            # uvloop's socket objects can't set options.
            with listener.dup() as same:
                same.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, round(bounds.write_seconds * 1000))
