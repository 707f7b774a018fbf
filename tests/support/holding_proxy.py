"""A proxy before an API server that can go silent: it takes requests and hands on no answers, as a dead link does."""

import contextlib
import socket
import threading
from collections.abc import Callable

Held = Callable[[bytes], bool]
CHUNK_BYTES = 65536


class HoldingProxy:
    """Connections from here to the port of a server on loopback."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._held: Held = lambda _: False
        self._closed = False
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def hold(self, which: Held) -> None:
        """Hold back the answers to requests that match by their first line, also to requests in flight."""
        with self._changed:
            self._held = which
            self._changed.notify_all()

    def release(self) -> None:
        """Forward everything that was held back, and hold nothing from now on."""
        self.hold(lambda _: False)

    def close(self) -> None:
        self._closed = True
        self.release()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closed:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                requests = [b""]
                self._begin(self._send_requests, client, server, requests)
                self._begin(self._send_answers, server, client, requests)

    @staticmethod
    def _send_requests(client: socket.socket, server: socket.socket, requests: list[bytes]) -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(CHUNK_BYTES):
                line, _, _ = chunk.partition(b"\r\n")
                if line.endswith(b"HTTP/1.1"):
                    requests.append(line)
                server.sendall(chunk)
            server.shutdown(socket.SHUT_WR)

    def _send_answers(self, server: socket.socket, client: socket.socket, requests: list[bytes]) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(CHUNK_BYTES):
                with self._changed:
                    self._changed.wait_for(lambda: not self._held(requests[-1]))
                client.sendall(chunk)
            client.shutdown(socket.SHUT_WR)
