"""The HTTP surface: paths and methods in, verbs called, JSON, tables and watch streams out. Built by `__main__`."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from darkroom_local.apiserver.apimachinery.errors import StatusError, method_not_allowed, no_such_path
from darkroom_local.apiserver.apimachinery.selectors import Predicate, compile_selectors
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.auth import access_reviews
from darkroom_local.apiserver.auth.attributes import read_attributes
from darkroom_local.apiserver.auth.auth_middleware import OPEN_PATHS, AuthMiddleware
from darkroom_local.apiserver.auth.authenticator import Authenticator
from darkroom_local.apiserver.auth.authorizer import Authorizer
from darkroom_local.apiserver.auth.bootstrap_policy import bootstrap_roles
from darkroom_local.apiserver.auth.impersonation import acting_user
from darkroom_local.apiserver.auth.token_requests import request_token
from darkroom_local.apiserver.auth.tokens import Tokens, load_or_create_key
from darkroom_local.apiserver.controllers.garbage_collector import GarbageCollector
from darkroom_local.apiserver.controllers.node_lifecycle import GRACE_SECONDS as NODE_GRACE
from darkroom_local.apiserver.controllers.node_lifecycle import NodeLifecycle
from darkroom_local.apiserver.http import discovery, openapi, responses
from darkroom_local.apiserver.http.pod_logs import pod_log
from darkroom_local.apiserver.http.requests import (
    ResponseFormat,
    content_type,
    delete_options,
    find_target,
    flag,
    integer,
    read_body,
    write_options,
)
from darkroom_local.apiserver.registry.evictions import evict
from darkroom_local.apiserver.registry.resource_api import RequestTarget, ResourceApi, WriteResult
from darkroom_local.apiserver.resources.registry import Registry
from darkroom_local.apiserver.storage.paging import cut_page, read_token
from darkroom_local.apiserver.storage.store import Store, StoreConflictError
from darkroom_local.apiserver.storage.watch import WatchHub, WatchPlan

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0+darkroom", "platform": "linux/amd64"}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
DEFAULT_WATCH_SECONDS = 1800.0

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """The API server: one store, its watches, its collector, and the handlers of its paths."""

    def __init__(self, data_dir: Path, token: str, rbac: bool = False, node_grace_seconds: float = NODE_GRACE) -> None:
        """`token` is the admin's. With `rbac` everybody else may do what roles and bindings say, and nothing more."""
        self.store = Store(data_dir / "objects.sqlite")
        self.registry = Registry()
        self.hub = WatchHub(self.store)
        self.collector = GarbageCollector()
        self.api = ResourceApi(self.store, self.registry, self.collector.wake)
        self.node_lifecycle = NodeLifecycle(self.api, node_grace_seconds)
        self.tokens = Tokens(load_or_create_key(data_dir / "token.key"))
        self.authenticator = Authenticator(token, self.tokens, self.store)
        self.authorizer = Authorizer(self.store, enforced=rbac)
        if rbac:
            bootstrap_roles(self.api)

    def app(self) -> Starlette:
        fixed: dict[str, Handler] = {
            **dict.fromkeys(sorted(OPEN_PATHS), self.health),
            "/version": self.version,
            "/api": self.core_versions,
            "/apis": self.groups,
            "/api/{version}": self.discover,
            "/apis/{group}": self.group,
            "/apis/{group}/{version}": self.discover,
            "/openapi/v2": self.openapi_v2,
            "/openapi/v3": self.openapi_index,
            "/openapi/v3/api/{version}": self.openapi_document,
            "/openapi/v3/apis/{group}/{version}": self.openapi_document,
        }
        routes = [Route(path, self._guarded(handler), methods=["GET"]) for path, handler in fixed.items()]
        routes.append(Route("/{path:path}", self._guarded(self.serve), methods=METHODS))
        return Starlette(
            routes=routes,
            lifespan=self._lifespan,
            middleware=[Middleware(AuthMiddleware, authenticate=self.authenticator.user)],
            exception_handlers={Exception: _crashed},
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        controllers = [asyncio.create_task(each) for each in (self.collector.run(self.api), self.node_lifecycle.run())]
        yield
        for controller in controllers:
            controller.cancel()
        self.store.close()

    def _guarded(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                self._authorize(request)
                return await handler(request)
            except StatusError as error:
                refusal = error
            except StoreConflictError as error:
                refusal = StatusError(409, "Conflict", f"the object has been modified: {error}")
            except sqlite3.Error as error:
                log.exception("the store failed")
                refusal = StatusError(500, "InternalError", f"Internal error occurred: {error}")
            return JSONResponse(refusal.document(), status_code=refusal.code)

        return answer

    def _authorize(self, request: Request) -> None:
        """Raises 403. Whom the request is made for is its user from here on."""
        if request.url.path not in OPEN_PATHS:
            request.scope["user"] = acting_user(request.user, request.headers, self.authorizer)
            self.authorizer.require(
                request.user, read_attributes(request.method, request.url.path, request.query_params)
            )

    async def health(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def version(self, request: Request) -> Response:
        return JSONResponse(VERSION)

    async def core_versions(self, request: Request) -> Response:
        return JSONResponse(discovery.core_versions())

    async def groups(self, request: Request) -> Response:
        return JSONResponse(discovery.groups(self.registry))

    async def group(self, request: Request) -> Response:
        return _found(discovery.group(self.registry, request.path_params["group"]))

    async def discover(self, request: Request) -> Response:
        group = request.path_params.get("group", "")
        return _found(discovery.resources(self.registry, group, request.path_params["version"]))

    async def openapi_v2(self, request: Request) -> Response:
        """An empty document: kubectl turns to it when it looks for a kind that the third version doesn't have."""
        if "protobuf" in request.headers.get("accept", ""):
            return Response(openapi.EMPTY_V2_PROTOBUF, media_type=openapi.V2_PROTOBUF)
        return JSONResponse(openapi.EMPTY_V2)

    async def openapi_index(self, request: Request) -> Response:
        return JSONResponse(openapi.index(self.registry))

    async def openapi_document(self, request: Request) -> Response:
        group, version = request.path_params.get("group", ""), request.path_params["version"]
        return JSONResponse(openapi.document(self.registry, group, version))

    async def serve(self, request: Request) -> Response:
        """A request for objects."""
        target = find_target(self.registry, request.url.path)
        if not target.resource.is_stored and request.method != "POST":
            raise method_not_allowed()
        handlers: dict[str, Callable[[Request, RequestTarget], Awaitable[Response]]] = {
            "GET": self._read,
            "POST": self._create,
            "PUT": self._update,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        return await handlers[request.method](request, target)

    async def _read(self, request: Request, target: RequestTarget) -> Response:
        if target.subresource == "log":
            return await pod_log(self.api, target, request.query_params)
        if target.subresource not in ("", "status"):
            raise method_not_allowed()
        if target.name:
            return responses.one(ResponseFormat.of(request), target.resource, WriteResult(self.api.get(target)))
        selects = _selects(request, target)
        if flag(request.query_params, "watch"):
            return self._watch(request, target, selects)
        return self._list(request, target, selects)

    async def _create(self, request: Request, target: RequestTarget) -> Response:
        body = await read_body(request)
        if not target.resource.is_stored:
            return JSONResponse(
                access_reviews.answer(target.resource, self.authorizer, request.user, body), status_code=201
            )
        if target.subresource == "token":
            return JSONResponse(request_token(self.api, self.tokens, target, body), status_code=201)
        given = body if isinstance(body, dict) else {}
        if target.subresource == "binding":
            self.api.bind(target, given)
            return JSONResponse(responses.success(), status_code=201)
        if target.subresource == "eviction":
            evict(self.api, target, given, delete_options(request.query_params, given.get("deleteOptions")))
            return JSONResponse(responses.success(), status_code=201)
        if target.name or (target.resource.namespaced and not target.namespace):
            raise method_not_allowed()
        return responses.one(
            ResponseFormat.of(request), target.resource, self.api.create(target, body, write_options(request))
        )

    async def _update(self, request: Request, target: RequestTarget) -> Response:
        _require_object(target)
        body = await read_body(request)
        return responses.one(
            ResponseFormat.of(request), target.resource, self.api.update(target, body, write_options(request))
        )

    async def _patch(self, request: Request, target: RequestTarget) -> Response:
        _require_object(target)
        body, options = await read_body(request), write_options(request)
        creating = read_attributes(request.method, request.url.path, request.query_params).creating()
        options = replace(options, may_create=lambda: self.authorizer.require(request.user, creating))
        return responses.one(
            ResponseFormat.of(request), target.resource, self.api.patch(target, content_type(request), body, options)
        )

    async def _delete(self, request: Request, target: RequestTarget) -> Response:
        body = await read_body(request)
        options = delete_options(request.query_params, body)
        if target.subresource:
            raise method_not_allowed()
        if not target.name:
            return self._delete_many(request, target, options)
        document, gone = self.api.delete(target, options)
        return JSONResponse(responses.success(target, document) if gone else document)

    def _delete_many(self, request: Request, target: RequestTarget, options: Json) -> Response:
        selects = _selects(request, target)
        chosen = [each for each in self.api.select(target) if selects(each)]
        for document in chosen:
            self.api.delete(RequestTarget.of(target.resource, document), options)
        return responses.many(
            ResponseFormat.of(request), target.resource, chosen, {"resourceVersion": str(self.store.revision)}
        )

    def _list(self, request: Request, target: RequestTarget, selects: Predicate) -> Response:
        """A list, or a page of one: all pages show the state at the time of the first."""
        query = request.query_params
        limit = integer(query, "limit") if query.get("limit") else 0
        start = read_token(query["continue"]) if query.get("continue") else None
        revision = start.revision if start else self._list_revision(query)
        found = [each for each in self.api.select(target, revision) if selects(each)]
        page = cut_page(found, max(0, limit), revision, start.after if start else None)
        metadata: Json = {"resourceVersion": str(revision)}
        if page.token:
            metadata["continue"] = page.token
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                metadata["remainingItemCount"] = page.remaining
        return responses.many(ResponseFormat.of(request), target.resource, page.items, metadata)

    def _list_revision(self, query: QueryParams) -> int:
        """The moment that a list is to show: now, unless exactly another is asked for. Raises 504 for one to come."""
        asked = integer(query, "resourceVersion") if query.get("resourceVersion") else 0
        if asked > self.store.revision:
            why = f"Too large resource version: {asked}, current: {self.store.revision}"
            raise StatusError(504, "Timeout", why, {"causes": [{"reason": "ResourceVersionTooLarge", "message": why}]})
        return asked if query.get("resourceVersionMatch") == "Exact" else self.store.revision

    def _watch(self, request: Request, target: RequestTarget, selects: Predicate) -> Response:
        query = request.query_params
        since = query.get("resourceVersion", "")
        from_present = flag(query, "sendInitialEvents") or since in ("", "0")
        plan = WatchPlan(
            collection=target.resource.collection,
            namespace=target.namespace or None if target.resource.namespaced else None,
            selects=selects,
            since=None if from_present else integer(query, "resourceVersion"),
            bookmarks=flag(query, "allowWatchBookmarks"),
            initial_end=flag(query, "sendInitialEvents"),
            timeout_seconds=float(integer(query, "timeoutSeconds"))
            if query.get("timeoutSeconds")
            else DEFAULT_WATCH_SECONDS,
        )
        changes = self.hub.watch(plan)
        return StreamingResponse(
            responses.lines(ResponseFormat.of(request), target.resource, changes), media_type="application/json"
        )


async def _crashed(request: Request, error: Exception) -> Response:
    """For what nobody foresaw; Starlette logs it."""
    refusal = StatusError(500, "InternalError", f"Internal error occurred: {error!r}")
    return JSONResponse(refusal.document(), status_code=500)


def _selects(request: Request, target: RequestTarget) -> Predicate:
    query = request.query_params
    return compile_selectors(query.get("labelSelector", ""), query.get("fieldSelector", ""), target.resource.fields)


def _require_object(target: RequestTarget) -> None:
    if not target.name or target.subresource not in ("", "status"):
        raise method_not_allowed()


def _found(document: Json | None) -> Response:
    if document is None:
        raise no_such_path()
    return JSONResponse(document)
