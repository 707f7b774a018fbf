"""`python -m darkroom_local.apiserver --data-dir DIR --port N --token-file F [--rbac]`: runs the server until stopped.

It listens on loopback only. The admin's token is in a file, because every user of the machine can read command lines.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
from pathlib import Path

import uvicorn

from darkroom_contract.log_lines import set_up_log
from darkroom_local.apiserver.controllers.node_lifecycle import GRACE_SECONDS
from darkroom_local.apiserver.http.server import Server

SHUTDOWN_SECONDS = 2
GC_THRESHOLDS = (20_000, 10, 1_000)
"""Python's garbage collector searches for cycles, which JSON has none of. A full pass over ten thousand objects would
block the server for a third of a second."""


class _Uvicorn(uvicorn.Server):
    """Ends open watches on shutdown, which would otherwise wait for them."""

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self._api_server = server

    async def shutdown(self, sockets: object = None) -> None:
        self._api_server.hub.close()
        await super().shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m darkroom_local.apiserver", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--rbac", action="store_true", help="enforce RBAC for all users except the admin")
    grace = "seconds without a heartbeat after which a node counts as unresponsive"
    parser.add_argument("--node-monitor-grace-seconds", type=float, default=GRACE_SECONDS, help=grace)
    options = parser.parse_args()
    set_up_log("%(asctime)s %(levelname)s %(name)s %(message)s", logging.WARNING)
    token = options.token_file.read_text(encoding="utf-8").strip()
    server = Server(options.data_dir, token, options.rbac, options.node_monitor_grace_seconds)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    config = uvicorn.Config(
        server.app(),
        host="127.0.0.1",
        port=options.port,
        access_log=False,
        http="httptools",
        ws="none",
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_keep_alive=75,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_Uvicorn(config, server).serve())


if __name__ == "__main__":
    main()
