"""`/healthz`, `/readyz` and `/metrics`: whether the operator lives and gets on, whether it could act, and what it does.
Served beside everything else, on its loop, so that a blocked loop answers nothing. Started by `main.py` when there is a
port for it.

An operator that follows is as ready as the one that is_leader: an upgrade goes on when the new one could take over.
"""

import logging
from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""What is wrong; None when nothing is known to be."""


class Health:
    """One small web server."""

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
        app.router.add_get("/healthz", self._tell_health)
        app.router.add_get("/readyz", self._tell_readiness)
        app.router.add_get("/metrics", self._tell_metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _tell_health(self, _: web.Request) -> web.Response:
        liveness_errors = _liveness_errors(self._alive)
        if liveness_errors:
            log.error("the probe fails: %s", "; ".join(liveness_errors))
        return _answer(liveness_errors)

    async def _tell_readiness(self, _: web.Request) -> web.Response:
        return _answer(_liveness_errors(self._ready))

    async def _tell_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


def _liveness_errors(checks: Sequence[Check]) -> list[str]:
    return [liveness_error for check in checks if (liveness_error := check()) is not None]


def _answer(liveness_errors: Sequence[str]) -> web.Response:
    if liveness_errors:
        return web.Response(status=503, text="".join(f"{liveness_error}\n" for liveness_error in liveness_errors))
    return web.Response(text="ok\n")
