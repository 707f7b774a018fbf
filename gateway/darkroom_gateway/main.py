"""The `darkroom-gateway` command: reads settings from the environment and runs the server until SIGTERM or SIGINT."""

import logging
import os
import signal
import socket
import sys
import time
from types import FrameType

import uvicorn

from darkroom_contract.log_lines import set_up_log
from darkroom_contract.photos.limits import MAX_PHOTOS
from darkroom_contract.tracing.tracing import open_tracing
from darkroom_gateway.app import create_app
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.http.connection_bounds import ConnectionBounds, fit_to_descriptors
from darkroom_gateway.http.request_log import RequestIdFilter
from darkroom_gateway.http.server import LOOP, drop_stalled_clients, server_config
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.services import Services
from darkroom_gateway.settings import Settings

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 20
"""Grace period for requests in progress. With the drain before it, it fits the 30 s that Kubernetes gives a pod."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


class GatewayServer(uvicorn.Server):
    """Runs the shutdown of http/shutdown.py: SIGTERM begins the drain, another signal or Ctrl-C ends it."""

    def __init__(
        self, config: uvicorn.Config, shutdown: Shutdown, drain_seconds: float, bounds: ConnectionBounds
    ) -> None:
        super().__init__(config)
        self._bounds = bounds
        self._shutdown = shutdown
        self._drain_seconds = drain_seconds
        self._drained_at: float | None = None
        self._logged = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            drop_stalled_clients(server.sockets, self._bounds)
        log.info("HTTP/1.1 by httptools on %s, at most %d connections", LOOP, self._bounds.max_connections)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        first = not self._shutdown.begun.is_set()
        self._shutdown.begun.set()
        if first and sig == signal.SIGTERM and self._drain_seconds > 0:
            self._drained_at = time.monotonic() + self._drain_seconds
            return
        self._drained_at = None
        self._shutdown.streams_end.set()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._drained_at is not None:
            self._log_drain_once()
            if time.monotonic() >= self._drained_at:
                self.handle_exit(signal.SIGTERM, None)
        return await super().on_tick(counter)

    def _log_drain_once(self) -> None:
        """Outside of the signal handler, which may have interrupted another log call."""
        if not self._logged:
            self._logged = True
            log.info(
                "received SIGTERM: no longer ready; accepting new connections for another %g s", self._drain_seconds
            )


def main() -> None:
    try:
        settings = Settings.from_environment(os.environ)
        _set_up_log(settings.log_level)
        tracing = open_tracing("darkroom-gateway", os.environ)
        app = create_app(settings, tracing)
        services: Services = app.state.services
        if settings.metrics_port is not None:
            services.metrics.serve(settings.host, settings.metrics_port)
    except SettingsError as error:
        sys.exit(f"darkroom-gateway: {error}")
    bounds = fit_to_descriptors(settings.bounds, settings.max_uploads * 2 * MAX_PHOTOS)  # With masks.
    config = server_config(app, settings.host, settings.port, bounds, SHUTDOWN_SECONDS)
    try:
        GatewayServer(config, services.shutdown, settings.drain_seconds, bounds).run()
    except KeyboardInterrupt:
        pass
    finally:
        tracing.close()


def _set_up_log(level: str) -> None:
    """The configured level for the gateway's loggers, and at least INFO for those of libraries.

    At DEBUG, libraries may log headers and bodies, and with them credentials.
    """
    set_up_log(LOG_FORMAT, max(logging.INFO, logging.getLevelNamesMapping()[level]), RequestIdFilter())
    logging.getLogger("darkroom_gateway").setLevel(level)


if __name__ == "__main__":
    main()
