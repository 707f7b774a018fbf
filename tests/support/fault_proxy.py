"""A proxy before an API server that fails at random, as real servers, load balancers and networks do.

Only what a real API server may answer: a request that is refused was not done; one whose answer is lost was.
"""

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from enum import Enum, StrEnum
from random import Random
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, web

from darkroom_local.processes.ports import free_ports

REQUEST_RATE = 0.05
"""Fraction of requests that meet a fault."""
EVENT_RATE = 0.08
"""Fraction of watch events that meet a fault."""
DELAY_SECONDS = 3.0
CLOSE_SECONDS = 5.0
LONGEST_LINE_BYTES = 4 * 1024**2
HANDED_ON = ("Content-Type", "Accept", "Authorization")


class Refusal(Enum):
    """The server did nothing, and says why."""

    FORBIDDEN = (403, "Forbidden")
    CONFLICT = (409, "Conflict")
    GONE = (410, "Expired")
    TOO_MANY = (429, "TooManyRequests")
    BROKEN = (500, "InternalError")

    def __str__(self) -> str:
        code, reason = self.value
        return f"{code} {reason}"

    @property
    def document(self) -> dict[str, Any]:
        code, reason = self.value
        details = {"code": code, "reason": reason, "message": f"a fault that was made: {reason}"}
        return {"kind": "Status", "apiVersion": "v1", "status": "Failure"} | details


class Loss(StrEnum):
    """The connection is reset."""

    BEFORE = "reset before the request was done"
    AFTER = "reset after the request was done"


class Disturbance(StrEnum):
    """Faults of a watch, at one of its events."""

    TWICE = "an event twice"
    LATE = "an event late"
    SILENT = "a silent watch"
    RESET = "a watch that is reset"
    ERROR = "an error in a watch"
    EXPIRED = "an expired watch"


DISTURBANCES = {
    Disturbance.TWICE: 8,
    Disturbance.LATE: 8,
    Disturbance.RESET: 2,
    Disturbance.EXPIRED: 2,
    Disturbance.SILENT: 1,
    Disturbance.ERROR: 1,
}
"""How often each, beside the others."""


class FaultProxy:
    """Takes the place of the API server at an address within its `with` block. It starts without faults."""

    def __init__(self, server_url: str, seed: int, request_rate: float = REQUEST_RATE) -> None:
        [self._port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self.faults: Counter[str] = Counter()
        """How many of each were made."""
        self._server_url = server_url
        self._request_rate = request_rate
        self._random = Random(seed)
        self._calm = asyncio.Event()
        self._calm.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._transports: WeakSet[asyncio.WriteTransport] = WeakSet()
        self._session: ClientSession
        self._runner: web.AppRunner

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self) -> None:
        """Start injecting faults."""
        self._loop.call_soon_threadsafe(self._calm.clear)

    def calm(self) -> None:
        """Stop injecting faults, and reset connections that had gone silent."""
        self._loop.call_soon_threadsafe(self._calm.set)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        self._session = ClientSession(timeout=ClientTimeout(total=None), read_bufsize=LONGEST_LINE_BYTES)
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def _close(self) -> None:
        server = self._runner.server
        await self._runner.cleanup()
        await self._session.close()
        # A connection that was accepted just before, or that could not send everything yet, would outlive the loop.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=CLOSE_SECONDS)
        accepted = [] if server is None else [each.transport for each in server.connections]
        for transport in {*self._transports, *accepted} - {None}:
            transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if isinstance(request.transport, asyncio.WriteTransport):
            self._transports.add(request.transport)
        is_watch = request.query.get("watch") in ("true", "1")
        fault = self._draw_fault(request, is_watch)
        if isinstance(fault, Refusal):
            return web.json_response(fault.document, status=fault.value[0], headers={"Retry-After": "1"})
        if fault is Loss.BEFORE:
            return reset(request)
        try:
            return await self._forward(request, is_watch, fault)
        except (ClientError, ConnectionError):  # The server died, or the client has left.
            return reset(request)

    def _draw_fault(self, request: web.Request, is_watch: bool) -> Refusal | Loss | None:
        if self._calm.is_set() or self._random.random() >= self._request_rate:
            return None
        possible: list[Refusal | Loss] = [Refusal.TOO_MANY, Refusal.BROKEN, Loss.BEFORE]
        if request.method in ("PUT", "PATCH"):
            possible.append(Refusal.CONFLICT)
        if "continue" in request.query:
            possible.append(Refusal.GONE)
        if not is_watch:
            possible.append(Loss.AFTER)
        fault = self._random.choice(possible)
        self.faults[str(fault)] += 1
        return fault

    async def _forward(self, request: web.Request, is_watch: bool, fault: Refusal | Loss | None) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in HANDED_ON if name in request.headers}
        url, body = self._server_url + request.rel_url.raw_path_qs, self._admit(request, await request.read())
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            if is_watch and answer.status == 200:
                return await self._stream(request, answer)
            content = await answer.read()
            if fault is Loss.AFTER:
                return reset(request)
            kind = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
            return web.Response(status=answer.status, body=content, headers=kind)

    def _admit(self, request: web.Request, body: bytes) -> bytes:
        """What is sent on in the place of a request's body."""
        return body

    async def _stream(self, request: web.Request, answer: ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": answer.headers["Content-Type"]})
        await response.prepare(request)
        async for line in answer.content:
            match self._draw_disturbance():
                case Disturbance.TWICE:
                    await response.write(line)
                case Disturbance.LATE:
                    await asyncio.sleep(self._random.uniform(0, DELAY_SECONDS))
                case Disturbance.SILENT:
                    await self._calm.wait()
                    return reset(request)
                case Disturbance.RESET:
                    return reset(request)
                case Disturbance.ERROR:
                    await response.write(error_event(Refusal.BROKEN))
                    return response
                case Disturbance.EXPIRED:
                    await response.write(error_event(Refusal.GONE))
                    return response
            await response.write(line)
        return response

    def _draw_disturbance(self) -> Disturbance | None:
        if self._calm.is_set() or self._random.random() >= EVENT_RATE:
            return None
        [drawn] = self._random.choices(list(DISTURBANCES), list(DISTURBANCES.values()))
        self.faults[str(drawn)] += 1
        return drawn


def error_event(refusal: Refusal) -> bytes:
    return json.dumps({"type": "ERROR", "object": refusal.document}).encode() + b"\n"


def reset(request: web.Request) -> web.Response:
    """End the connection with a TCP reset; the response goes nowhere."""
    if (transport := request.transport) is not None:
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return web.Response()
