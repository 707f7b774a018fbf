"""The server: creates the store, the controllers and the handlers, and builds the ASGI application."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.auth.attributes import read_attributes
from darkroom_local.apiserver.auth.auth_middleware import OPEN_PATHS, AuthMiddleware
from darkroom_local.apiserver.auth.authenticator import Authenticator
from darkroom_local.apiserver.auth.authorizer import Authorizer
from darkroom_local.apiserver.auth.bootstrap_policy import bootstrap_roles
from darkroom_local.apiserver.auth.impersonation import effective_user
from darkroom_local.apiserver.auth.tokens import Tokens, load_or_create_key
from darkroom_local.apiserver.controllers.garbage_collector import GarbageCollector
from darkroom_local.apiserver.controllers.node_lifecycle import GRACE_SECONDS as NODE_GRACE
from darkroom_local.apiserver.controllers.node_lifecycle import NodeLifecycle
from darkroom_local.apiserver.http.discovery_handlers import DiscoveryHandlers, Handler
from darkroom_local.apiserver.http.resource_handlers import ResourceHandlers
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.registry import Registry
from darkroom_local.apiserver.storage.store import Store, StoreConflictError
from darkroom_local.apiserver.storage.watch import WatchHub

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

log = logging.getLogger(__name__)


class Server:
    """The API server: one store, its watches and controllers, and the handlers of its paths."""

    def __init__(self, data_dir: Path, token: str, rbac: bool = False, node_grace_seconds: float = NODE_GRACE) -> None:
        """`token` is the admin's. With `rbac` all other users need roles and bindings."""
        self.store = Store(data_dir / "objects.sqlite")
        registry = Registry()
        self.hub = WatchHub(self.store)
        self.garbage_collector = GarbageCollector()
        self.api = ResourceApi(self.store, registry, self.garbage_collector.wake)
        self.node_lifecycle = NodeLifecycle(self.api, node_grace_seconds)
        tokens = Tokens(load_or_create_key(data_dir / "token.key"))
        self.authenticator = Authenticator(token, tokens, self.store)
        self.authorizer = Authorizer(self.store, enforced=rbac)
        self.discovery = DiscoveryHandlers(registry)
        self.resources = ResourceHandlers(self.api, self.hub, tokens, self.authorizer)
        if rbac:
            bootstrap_roles(self.api)

    def app(self) -> Starlette:
        fixed = dict.fromkeys(sorted(OPEN_PATHS), _health) | self.discovery.routes()
        routes = [Route(path, self._guarded(handler), methods=["GET"]) for path, handler in fixed.items()]
        routes.append(Route("/{path:path}", self._guarded(self.resources.serve), methods=METHODS))
        return Starlette(
            routes=routes,
            lifespan=self._lifespan,
            middleware=[Middleware(AuthMiddleware, authenticate=self.authenticator.user)],
            exception_handlers={Exception: _unexpected_error},
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        runs = (self.garbage_collector.run(self.api), self.node_lifecycle.run())
        controllers = [asyncio.create_task(each) for each in runs]
        yield
        for controller in controllers:
            controller.cancel()
        self.store.close()

    def _guarded(self, handler: Handler) -> Handler:
        """The handler behind authorization, with its errors as Status responses."""

        async def respond(request: Request) -> Response:
            try:
                self._authorize(request)
                return await handler(request)
            except StatusError as error:
                status = error
            except StoreConflictError as error:
                status = StatusError(409, "Conflict", f"the object has been modified: {error}")
            except sqlite3.Error as error:
                log.exception("the store failed")
                status = StatusError(500, "InternalError", f"Internal error occurred: {error}")
            return JSONResponse(status.document(), status_code=status.code)

        return respond

    def _authorize(self, request: Request) -> None:
        """Set the effective user of the request. Raises 403."""
        if request.url.path not in OPEN_PATHS:
            request.scope["user"] = effective_user(request.user, request.headers, self.authorizer)
            attributes = read_attributes(request.method, request.url.path, request.query_params)
            self.authorizer.require(request.user, attributes)


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok")


async def _unexpected_error(request: Request, error: Exception) -> Response:
    """For unhandled exceptions, which Starlette logs."""
    status = StatusError(500, "InternalError", f"Internal error occurred: {error!r}")
    return JSONResponse(status.document(), status_code=500)
