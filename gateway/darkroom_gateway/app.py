"""The FastAPI application: `create_app(settings)`. Called by main.py."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

from fastapi import Depends, FastAPI

from darkroom_contract.tracing.tracing import Tracing
from darkroom_gateway.auth.api_keys import ApiKeys
from darkroom_gateway.auth.middleware import ApiKeyMiddleware
from darkroom_gateway.auth.open_paths import OpenPaths
from darkroom_gateway.docs import openapi, swagger_ui
from darkroom_gateway.events import router as events_router
from darkroom_gateway.generation import router as generation_router
from darkroom_gateway.health import router as health_router
from darkroom_gateway.http import problems
from darkroom_gateway.http.body_limit import BodyLimitMiddleware
from darkroom_gateway.http.host_names import own_host_names
from darkroom_gateway.http.origin_check import OriginCheckMiddleware
from darkroom_gateway.http.origins import CorsMiddleware
from darkroom_gateway.http.request_log import RequestLogMiddleware
from darkroom_gateway.http.root_path import RootPathMiddleware
from darkroom_gateway.http.security_headers import SecurityHeadersMiddleware
from darkroom_gateway.http.shutdown import ConnectionCloseMiddleware
from darkroom_gateway.http.unexpected_input import reject_unexpected_input
from darkroom_gateway.jobs import router as old_jobs_router
from darkroom_gateway.limits.middleware import RateLimitMiddleware
from darkroom_gateway.model_import import router as model_import_router
from darkroom_gateway.models import router as models_router
from darkroom_gateway.openai_images import router as openai_images_router
from darkroom_gateway.openai_images.error_shape import OpenAIErrorsMiddleware
from darkroom_gateway.openai_images.services import build_image_services
from darkroom_gateway.page import router as page_router
from darkroom_gateway.page.files import FOLDER
from darkroom_gateway.pattern_advice import PATTERN_ADVICE
from darkroom_gateway.services import Services, build_services
from darkroom_gateway.settings import MAX_IMAGES_BYTES, MULTIPART_OVERHEAD_BYTES, OPEN_ACCESS, Settings, is_loopback
from darkroom_gateway.tracing.request_spans import telemetry_of
from darkroom_gateway.training import router as training_router
from darkroom_gateway.v1 import files_router, jobs_router, submissions_router
from darkroom_gateway.v1.bodies import MAX_JSON_BYTES

log = logging.getLogger(__name__)

DESCRIPTION = """\
Learn a subject from photos, generate pictures of it, and a short video: SDXL and SVD on Kubernetes, one job at a time.

Submissions return `202` with a `task_id` immediately. Poll `/result` or `/images`, or follow the live events of
`/jobs/{task_id}/events`. All errors are problem details (RFC 9457).
"""


TAGS = [
    {"name": "train", "description": "Learn a subject from photos."},
    {"name": "generate", "description": "Generate pictures, and short videos from them."},
    {"name": "jobs", "description": "Jobs of both kinds: list, follow, read log and files, delete."},
    {"name": "models", "description": "LoRAs, trained here or imported."},
    {"name": "images", "description": "Pictures for OpenAI's clients, which wait for them."},
    {"name": "health", "description": "Probes. They need no API key."},
]


ROUTERS = (
    *(training_router, generation_router, old_jobs_router, events_router, model_import_router, models_router),
    *(submissions_router, jobs_router, files_router, openai_images_router),
)

OPEN_PATHS = OpenPaths(
    exact=frozenset({page_router.INDEX_PATH, "/healthz", "/readyz", "/openapi.json"}) | swagger_ui.PATHS,
    folders=(FOLDER,),
)
"""Paths that need no API key: probes, the page, and the documentation. They contain no secret and change nothing."""


def create_app(settings: Settings, tracing: Tracing | None = None) -> FastAPI:
    """Opens no connection yet. Raises `SettingsError` when there is no usable kubeconfig, Redis URL or API key."""
    keys = None if settings.api_keys_dir is None else ApiKeys(Path(settings.api_keys_dir))
    tracing = tracing or Tracing()
    app = FastAPI(
        title="Darkroom",
        version=version("darkroom"),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=_lifespan,
        # docs/swagger_ui.py serves its own page: FastAPI's loads scripts from another host.
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        # A path with an extra slash gets a 404 that names the right path (http/path_suggestions.py).
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        telemetry=telemetry_of(tracing),
    )
    app.state.services = services = build_services(settings, tracing)
    problems.install(app, PATTERN_ADVICE)
    app.state.image_services = build_image_services(services)
    for module in ROUTERS:
        app.include_router(module.router, dependencies=[Depends(reject_unexpected_input)])
    app.include_router(health_router.router)  # Probes may send any parameter.
    app.include_router(swagger_ui.router)
    app.include_router(page_router.router)
    _add_middleware(app, settings, keys, services)
    app.openapi = lambda: openapi.document_of(app, None if keys is None else OPEN_PATHS)  # type: ignore[method-assign]
    _log_access(settings, keys)
    return app


def _add_middleware(app: FastAPI, settings: Settings, keys: ApiKeys | None, services: Services) -> None:
    """Middleware that is added later runs earlier."""
    app.add_middleware(
        BodyLimitMiddleware,
        max_bytes=settings.max_upload_bytes,
        bounds=settings.bounds,
        by_path=_body_limits(settings),
    )
    if services.rate_limiter is not None:
        app.add_middleware(
            RateLimitMiddleware,
            limiter=services.rate_limiter,
            open_paths=OPEN_PATHS,
            count_refusal=lambda: services.metrics.count_limited("rate"),
        )
    if keys is not None:
        app.add_middleware(
            ApiKeyMiddleware, keys=keys, open_paths=OPEN_PATHS, count_refusal=services.metrics.count_refused_key
        )
    own = own_host_names(settings.allowed_hosts, on_loopback=is_loopback(settings.host), open_to_all=keys is None)
    origins = settings.cors_origins
    app.add_middleware(OriginCheckMiddleware, own=own, open_to_all=keys is None, trusted=origins)
    if origins:
        app.add_middleware(CorsMiddleware, origins=origins)
    if settings.metrics_port is not None:
        services.metrics.measure_requests(app)
    app.add_middleware(OpenAIErrorsMiddleware)
    app.add_middleware(ConnectionCloseMiddleware, shutdown=services.shutdown)
    app.add_middleware(RequestLogMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)
    if settings.root_path:
        app.add_middleware(RootPathMiddleware, root_path=settings.root_path)


def _body_limits(settings: Settings) -> dict[str, int]:
    """The largest bodies of paths that accept more or less than the others, in bytes."""
    model_bytes = settings.model_upload_bytes + MULTIPART_OVERHEAD_BYTES
    images_bytes = min(MAX_IMAGES_BYTES, settings.max_upload_bytes)
    return {
        models_router.PATH: max(model_bytes, settings.max_upload_bytes),
        generation_router.SDXL_PATH: images_bytes,
        generation_router.LORA_PATH: images_bytes,
        openai_images_router.EDITS_PATH: images_bytes,
        openai_images_router.GENERATIONS_PATH: MAX_JSON_BYTES,
        submissions_router.GENERATE_PATH: images_bytes + MAX_JSON_BYTES,
        submissions_router.UPLOADS_PATH: MAX_JSON_BYTES,
    }


def _log_access(settings: Settings, keys: ApiKeys | None) -> None:
    if keys is not None:
        log.info("requests need one of the API keys: %s", ", ".join(keys.names))
    elif is_loopback(settings.host):
        log.info("requests need no API key: %s is reachable from this machine only", settings.host)
    else:
        log.warning(
            "requests need no API key (%s=true): anybody who can reach this address has full access", OPEN_ACCESS
        )


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    background = [asyncio.create_task(services.sweeper.run())]
    if services.webhooks is not None:
        background.append(asyncio.create_task(services.webhooks.run()))
    if services.shared_buckets is not None:
        background.append(asyncio.create_task(services.shared_buckets.run()))
    try:
        await services.start()
        yield
    finally:
        await app.state.image_services.jobs.close()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await services.close()
