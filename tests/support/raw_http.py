"""HTTP by hand on a socket, for what clients of good manners never send; and a server in a thread to send it to."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        """The end of a problem's type; fails where the answer is none."""
        assert self.headers["content-type"] == "application/problem+json", self
        document = json.loads(self.body)
        assert document["status"] == self.status
        kind: str = document["type"].rpartition(":")[2]
        return kind


class Connection:
    """One connection. Every wait ends within `TIMEOUT_SECONDS`."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(TIMEOUT_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self._read = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def trickle(self, piece: bytes, seconds: float = 0.1) -> float:
        """Send a piece again and again until the server hangs up or answers; returns after how many seconds."""
        began = time.monotonic()
        self.socket.settimeout(seconds)
        try:
            while time.monotonic() - began < TIMEOUT_SECONDS:
                self.socket.sendall(piece)
                with contextlib.suppress(TimeoutError):
                    came = self.socket.recv(65536)
                    self._read += came
                    break
        except OSError:
            pass
        finally:
            self.socket.settimeout(TIMEOUT_SECONDS)
        return time.monotonic() - began

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer, which has a length or chunks or ends with the connection."""
        head, self._read = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split()[1])
        if to_head or status < 200 or status in (204, 304):
            return Answer(status, headers, b"")
        if "content-length" in headers:
            return Answer(status, headers, self._take(int(headers["content-length"])))
        return Answer(status, headers, self._chunks())

    def is_closed(self) -> bool:
        """Waits until the server says that nothing more comes, or has reset the connection."""
        try:
            return not self._read and self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def _chunks(self) -> bytes:
        body = b""
        while True:
            line, self._read = self._until(b"\r\n")
            size = int(line, 16)
            body += self._take(size)
            self._take(2)
            if size == 0:
                return body

    def _until(self, end: bytes) -> tuple[bytes, bytes]:
        while end not in self._read:
            self._receive()
        found, _, rest = self._read.partition(end)
        return found, rest

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            self._receive()
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def _receive(self) -> None:
        piece = self.socket.recv(65536)
        assert piece, f"the server hung up after {self._read!r}"
        self._read += piece


@contextlib.contextmanager
def serving(server: uvicorn.Server) -> Iterator[tuple[int, uvicorn.Server]]:
    """A server in a thread, on a port that the system chose."""
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not server.started:
            assert thread.is_alive(), "the server failed to start"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1], server
    finally:
        server.should_exit = True
        thread.join(TIMEOUT_SECONDS)


def get(path: str = "/", *headers: str, version: str = "1.1") -> bytes:
    lines = [f"GET {path} HTTP/{version}", "Host: localhost", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def post(path: str, *headers: str) -> bytes:
    """The head alone."""
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()
