"""The application: `create_app(settings)`. Called by main.py; nothing is made at import."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from darkroom_gateway import problems
from darkroom_gateway.body_limit import BodyLimit
from darkroom_gateway.endpoints import generate, health, jobs, models, train
from darkroom_gateway.request_log import RequestLog
from darkroom_gateway.services import build_services
from darkroom_gateway.settings import Settings

DESCRIPTION = """\
Learn a subject from photos, make pictures of it, and a short video: SDXL and SVD on Kubernetes, one job at a time.

Submissions answer `202` with a `task_id` at once; ask `/result` or `/images` how it goes, or follow
`/jobs/{task_id}/events`. Errors of every kind are problem details (RFC 9457).
"""


def create_app(settings: Settings) -> FastAPI:
    """Connects to nothing yet. Raises `SettingsError` when there is no way to the cluster."""
    app = FastAPI(
        title="Darkroom", version=version("darkroom"), description=DESCRIPTION, lifespan=_lifespan, redoc_url=None
    )
    app.state.services = build_services(settings)
    problems.install(app)
    for module in (train, generate, jobs, models, health):
        app.include_router(module.router)
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes)
    app.add_middleware(RequestLog)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await app.state.services.close()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's description, with our errors in place of the ones that it assumes."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        for assumed in ("HTTPValidationError", "ValidationError"):
            schemas.pop(assumed, None)
        schemas.update(problems.schemas())
    return FastAPI.openapi(app)
