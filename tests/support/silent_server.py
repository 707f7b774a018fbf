"""A server that accepts connections and never answers, as a stopped process or a dead link does."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

TRICKLE_SECONDS = 0.2
PREFIX = b"HTTP/1.1 200 OK\r\nX-Slow: "


class SilentServer:
    """On loopback, from `with` to its end. With `trickles` it sends a header without an end, byte by byte: no client
    that only limits the silence between two bytes ever gives up."""

    def __init__(self, *, trickles: bool = False) -> None:
        self._trickles = trickles
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self._closed = threading.Event()
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def connections(self) -> int:
        """How many were made so far."""
        return len(self._connections)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()
        for each in (self._listener, *self._connections):
            each.close()

    def _serve(self) -> None:
        self._listener.settimeout(TRICKLE_SECONDS)
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._send(connection, PREFIX)
            for each in self._connections:
                self._send(each, b"x")

    def _send(self, connection: socket.socket, content: bytes) -> None:
        if self._trickles:
            with contextlib.suppress(OSError):  # The client has given up.
                connection.send(content)
