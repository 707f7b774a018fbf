"""`/healthz`: whether the operator lives. Served beside everything else, on its loop, so that a blocked loop answers
nothing. Started by `main.py` when there is a port for it.
"""

import time

from aiohttp import web

from darkroom_operator.reconcile import Reconciler

STUCK_SECONDS = 120.0
"""Passes are made every 30 s, a request takes at most 30 s, and waits after an outage are at most 15 s."""


class Health:
    """One small web server."""

    def __init__(self, reconciler: Reconciler, host: str, port: int) -> None:
        self._reconciler = reconciler
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/healthz", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        silent = time.monotonic() - self._reconciler.tried
        if silent > STUCK_SECONDS:
            return web.Response(status=503, text=f"the reconcile has done nothing for {silent:.0f} s\n")
        return web.Response(text="ok\n")
