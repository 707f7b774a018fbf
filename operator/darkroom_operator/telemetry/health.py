"""`/healthz`, `/readyz` and `/metrics`: whether the operator makes progress, could act, and what it does.

Served on the event loop of everything else, so that a blocked loop fails the probe. An operator that is not the leader
is as ready as the leader: a rolling update continues once the new one could take over.
"""

import logging
from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""What is wrong, or None."""


class Health:
    """A small web server for probes and metrics."""

    def __init__(
        self, alive: Sequence[Check], ready: Sequence[Check], registry: CollectorRegistry, host: str, port: int
    ) -> None:
        self._alive = alive
        self._ready = ready
        self._registry = registry
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/healthz", self._get_health)
        app.router.add_get("/readyz", self._get_readiness)
        app.router.add_get("/metrics", self._get_metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _get_health(self, _: web.Request) -> web.Response:
        errors = _errors(self._alive)
        if errors:
            log.error("the liveness probe fails: %s", "; ".join(errors))
        return _response(errors)

    async def _get_readiness(self, _: web.Request) -> web.Response:
        return _response(_errors(self._ready))

    async def _get_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


def _errors(checks: Sequence[Check]) -> list[str]:
    return [error for check in checks if (error := check()) is not None]


def _response(errors: Sequence[str]) -> web.Response:
    if errors:
        return web.Response(status=503, text="".join(f"{error}\n" for error in errors))
    return web.Response(text="ok\n")
