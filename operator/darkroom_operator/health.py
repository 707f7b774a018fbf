"""`/healthz`: whether the operator lives and gets on. Served beside everything else, on its loop, so that a blocked
loop answers nothing. Started by `main.py` when there is a port for it.
"""

import logging
from collections.abc import Callable, Sequence

from aiohttp import web

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""What is wrong; None when nothing is known to be."""


class Health:
    """One small web server."""

    def __init__(self, checks: Sequence[Check], host: str, port: int) -> None:
        self._checks = checks
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
        complaints = [complaint for check in self._checks if (complaint := check()) is not None]
        if complaints:
            log.error("the probe fails: %s", "; ".join(complaints))
            return web.Response(status=503, text="".join(f"{complaint}\n" for complaint in complaints))
        return web.Response(text="ok\n")
