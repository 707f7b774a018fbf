"""The `darkroom-gateway` command: settings from the environment, then one server until it is told to stop."""

import logging
import os
import sys
import threading
from types import FrameType

import uvicorn

from darkroom_gateway.app import create_app
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.request_log import RequestIdFilter
from darkroom_gateway.settings import Settings

SHUTDOWN_SECONDS = 20
"""How long requests in progress may take to end after SIGTERM; below Kubernetes' 30."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


class _Server(uvicorn.Server):
    """Tells streams of events to end at the first signal; the server would wait for them."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping.set()
        super().handle_exit(sig, frame)


def main() -> None:
    try:
        settings = Settings.from_environment(os.environ)
        _set_up_log(settings.log_level)
        app = create_app(settings)
    except SettingsError as error:
        sys.exit(f"darkroom-gateway: {error}")
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
    )
    _Server(config, app.state.services.stopping).run()


def _set_up_log(level: str) -> None:
    if level not in logging.getLevelNamesMapping():
        raise SettingsError(f"DARKROOM_GATEWAY_LOG_LEVEL is {level!r}: use DEBUG, INFO, WARNING or ERROR")
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
    for chatty in ("botocore", "urllib3", "kubernetes", "PIL"):
        # At DEBUG they print headers and bodies, credentials among them.
        logging.getLogger(chatty).setLevel(max(logging.INFO, logging.getLevelName(level)))


if __name__ == "__main__":
    main()
