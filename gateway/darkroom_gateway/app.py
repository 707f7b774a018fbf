"""The application: `create_app(settings)`. Called by main.py; nothing is made at import."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI

from darkroom_gateway import guard, problems
from darkroom_gateway.api_keys import ApiKeys
from darkroom_gateway.body_limit import BodyLimit
from darkroom_gateway.endpoints import generate, health, jobs, models, train
from darkroom_gateway.guard import Guard
from darkroom_gateway.host_names import own_host_names
from darkroom_gateway.ignored_input import refuse_ignored_input
from darkroom_gateway.origin_check import OriginCheck
from darkroom_gateway.request_log import RequestLog
from darkroom_gateway.root_path import RootPath
from darkroom_gateway.services import Services, build_services
from darkroom_gateway.settings import OPEN_ACCESS, Settings, is_loopback
from darkroom_gateway.shutdown import LastAnswers

log = logging.getLogger(__name__)

DESCRIPTION = """\
Learn a subject from photos, make pictures of it, and a short video: SDXL and SVD on Kubernetes, one job at a time.

Submissions answer `202` with a `task_id` at once; ask `/result` or `/images` how it goes, or follow
`/jobs/{task_id}/events`. Errors of every kind are problem details (RFC 9457).
"""


def create_app(settings: Settings) -> FastAPI:
    """Connects to nothing yet. Raises `SettingsError` when there is no way to the cluster, or no usable API key."""
    keys = None if settings.api_keys_dir is None else ApiKeys(Path(settings.api_keys_dir))
    app = FastAPI(
        title="Darkroom", version=version("darkroom"), description=DESCRIPTION, lifespan=_lifespan, redoc_url=None
    )
    app.state.services = services = build_services(settings)
    problems.install(app)
    for module in (train, generate, jobs, models):
        app.include_router(module.router, dependencies=[Depends(refuse_ignored_input)])
    app.include_router(health.router)  # Probes may send what they like.
    # What is added later is passed earlier.
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes, bounds=settings.bounds)
    if keys is not None:
        app.add_middleware(Guard, keys=keys, count_refusal=services.metrics.count_refused_key)
    own = own_host_names(settings.allowed_hosts, on_loopback=is_loopback(settings.host), open_to_all=keys is None)
    app.add_middleware(OriginCheck, own=own, open_to_all=keys is None)
    if settings.metrics_port is not None:
        services.metrics.measure_requests(app)
    app.add_middleware(LastAnswers, shutdown=services.shutdown)
    app.add_middleware(RequestLog)
    if settings.root_path:
        app.add_middleware(RootPath, root_path=settings.root_path)
    app.openapi = lambda: _openapi(app, guarded=keys is not None)  # type: ignore[method-assign]
    _log_access(settings, keys)
    return app


def _log_access(settings: Settings, keys: ApiKeys | None) -> None:
    if keys is not None:
        log.info("requests need one of the API keys: %s", ", ".join(keys.names))
    elif is_loopback(settings.host):
        log.info("requests need no API key: only this machine reaches %s", settings.host)
    else:
        log.warning(
            "requests need no API key: %s=true, and whoever reaches this address may do everything", OPEN_ACCESS
        )


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    sweeper = asyncio.create_task(services.sweeper.run())
    try:
        await services.start()
        yield
    finally:
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper
        await services.close()


def _openapi(app: FastAPI, *, guarded: bool) -> dict[str, Any]:
    """FastAPI's description, with our errors in place of the ones that it assumes."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        for assumed in ("HTTPValidationError", "ValidationError"):
            schemas.pop(assumed, None)
        schemas.update(problems.schemas())
        if guarded:
            guard.describe(document)
    return FastAPI.openapi(app)
