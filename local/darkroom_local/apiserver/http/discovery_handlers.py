"""Handlers of the paths that describe the server: version, discovery, OpenAPI."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from darkroom_local.apiserver.apimachinery.errors import no_such_path
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.http import discovery, openapi
from darkroom_local.apiserver.resources.registry import Registry

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0+darkroom", "platform": "linux/amd64"}

Handler = Callable[[Request], Awaitable[Response]]


class DiscoveryHandlers:
    """Describes the resources of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> dict[str, Handler]:
        return {
            "/version": self._version,
            "/api": self._core_versions,
            "/apis": self._groups,
            "/api/{version}": self._resources,
            "/apis/{group}": self._group,
            "/apis/{group}/{version}": self._resources,
            "/openapi/v2": self._openapi_v2,
            "/openapi/v3": self._openapi_index,
            "/openapi/v3/api/{version}": self._openapi_document,
            "/openapi/v3/apis/{group}/{version}": self._openapi_document,
        }

    async def _version(self, request: Request) -> Response:
        return JSONResponse(VERSION)

    async def _core_versions(self, request: Request) -> Response:
        return JSONResponse(discovery.core_versions())

    async def _groups(self, request: Request) -> Response:
        return JSONResponse(discovery.groups(self._registry))

    async def _group(self, request: Request) -> Response:
        return _json_or_404(discovery.group(self._registry, request.path_params["group"]))

    async def _resources(self, request: Request) -> Response:
        return _json_or_404(discovery.resources(self._registry, *_group_version(request)))

    async def _openapi_v2(self, request: Request) -> Response:
        """An empty document: kubectl requests it for a kind that is missing in version 3."""
        if "protobuf" in request.headers.get("accept", ""):
            return Response(openapi.EMPTY_V2_PROTOBUF, media_type=openapi.V2_PROTOBUF)
        return JSONResponse(openapi.EMPTY_V2)

    async def _openapi_index(self, request: Request) -> Response:
        return JSONResponse(openapi.index(self._registry))

    async def _openapi_document(self, request: Request) -> Response:
        return JSONResponse(openapi.document(self._registry, *_group_version(request)))


def _group_version(request: Request) -> tuple[str, str]:
    return request.path_params.get("group", ""), request.path_params["version"]


def _json_or_404(document: Json | None) -> Response:
    if document is None:
        raise no_such_path()
    return JSONResponse(document)
