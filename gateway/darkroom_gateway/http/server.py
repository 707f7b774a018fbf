"""The server that main.py runs: HTTP/1.1 by httptools, on uvloop, within bounds. The same on a laptop, in the image and
in tests, whatever else is installed beside it.

uvicorn's own choice, `auto`, depends on what it finds: httptools and uvloop on a laptop, where another package brings
them, h11 and asyncio in an image without. By the former a poll takes a third to a half less CPU time
(`python benchmarks/http_server.py`).
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
    """Everything that decides how the gateway speaks HTTP, and nothing taken from the environment."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol_class(bounds),
        loop=LOOP,
        ws="none",
        interface="asgi3",
        workers=1,
        # Nothing here looks at a client's address or scheme, so no proxy needs to be trusted with telling them.
        proxy_headers=False,
        timeout_keep_alive=bounds.keep_alive_seconds,
        timeout_graceful_shutdown=graceful_shutdown_seconds,
        access_log=False,
        log_config=None,
        server_header=False,
    )


def drop_stalled_clients(listeners: Sequence[socket.socket], bounds: ConnectionBounds) -> None:
    """Have the system end a connection that acknowledges nothing for `write_seconds`.

    Connections inherit it from the socket that accepts them. http/protocol.py looks at what the process holds back;
    this is for what the system has taken over, such as the pings of a stream whose client has left the network.
    """
    if TCP_USER_TIMEOUT is None:
        return
    for listener in listeners:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            # uvloop's own object of a socket sets no options.
            with listener.dup() as same:
                same.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, round(bounds.write_seconds * 1000))
