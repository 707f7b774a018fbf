"""A proxy before an API server that writes down what it is asked, and can answer in its place."""

import contextlib
import socket
import threading
from collections.abc import Callable

CHUNK_BYTES = 65536
Answer = Callable[[bytes], bytes | None]


class CountingProxy:
    """Connections from here to the port of a server on loopback. The port of that server may change."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.requests: list[bytes] = []
        """The first lines, in their order."""
        self.answer: Answer = lambda line: None
        """Given a request's first line: bytes to answer with in place of the server, or None to hand it on."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closed = False
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def asked(self) -> list[bytes]:
        """Requests other than watches, so far."""
        return [line for line in self.requests if b"watch=" not in line]

    def cut(self) -> None:
        """Break every connection that there is."""
        for each in self._sockets[1:]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            self._begin(self._send_requests, client, server)
            self._begin(self._send_answers, server, client)

    def _send_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(CHUNK_BYTES):
                line, _, _ = chunk.partition(b"\r\n")
                if line.endswith(b"HTTP/1.1"):
                    self.requests.append(line)
                    if (answer := self.answer(line)) is not None:
                        client.sendall(answer)
                        continue
                server.sendall(chunk)
            server.shutdown(socket.SHUT_WR)

    @staticmethod
    def _send_answers(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(CHUNK_BYTES):
                client.sendall(chunk)
            client.shutdown(socket.SHUT_WR)
