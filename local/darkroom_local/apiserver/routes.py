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

from darkroom_local.apiserver import discovery, event_views, openapi, responses, reviews
from darkroom_local.apiserver.access import Access
from darkroom_local.apiserver.accounts import issue_token
from darkroom_local.apiserver.attributes import read_attributes
from darkroom_local.apiserver.bootstrap import bootstrap_roles
from darkroom_local.apiserver.collector import Collector
from darkroom_local.apiserver.documents import Json
from darkroom_local.apiserver.door import OPEN_PATHS, Door
from darkroom_local.apiserver.errors import StatusError, method_not_allowed, no_such_path
from darkroom_local.apiserver.evictions import evict
from darkroom_local.apiserver.identities import Authenticator
from darkroom_local.apiserver.impersonation import acting_user
from darkroom_local.apiserver.logs import pod_log
from darkroom_local.apiserver.node_lifecycle import GRACE_SECONDS as NODE_GRACE
from darkroom_local.apiserver.node_lifecycle import NodeLifecycle
from darkroom_local.apiserver.paging import cut, read_token
from darkroom_local.apiserver.registry import Registry
from darkroom_local.apiserver.requests import (
    Shape,
    content_type,
    delete_options,
    find_place,
    flag,
    integer,
    read_body,
    write_options,
)
from darkroom_local.apiserver.selectors import Test, compile_selectors
from darkroom_local.apiserver.store import Store, StoreConflictError
from darkroom_local.apiserver.tokens import Tokens, kept_key
from darkroom_local.apiserver.verbs import Api, Place, Written
from darkroom_local.apiserver.watch import WatchHub, WatchPlan

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
        self.collector = Collector()
        self.api = Api(self.store, self.registry, self.collector.wake)
        self.node_lifecycle = NodeLifecycle(self.api, node_grace_seconds)
        self.tokens = Tokens(kept_key(data_dir / "token.key"))
        self.authenticator = Authenticator(token, self.tokens, self.store)
        self.access = Access(self.store, enforced=rbac)
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
            middleware=[Middleware(Door, authenticate=self.authenticator.user)],
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
            request.scope["user"] = acting_user(request.user, request.headers, self.access)
            self.access.require(request.user, read_attributes(request.method, request.url.path, request.query_params))

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
        place = find_place(self.registry, request.url.path)
        if not place.resource.is_kept and request.method != "POST":
            raise method_not_allowed()
        handlers: dict[str, Callable[[Request, Place], Awaitable[Response]]] = {
            "GET": self._read,
            "POST": self._create,
            "PUT": self._update,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        return await handlers[request.method](request, place)

    async def _read(self, request: Request, place: Place) -> Response:
        if place.subresource == "log":
            return await pod_log(self.api, place, request.query_params)
        if place.subresource not in ("", "status"):
            raise method_not_allowed()
        if place.name:
            return responses.one(Shape.of(request), place.resource, Written(self.api.get(place)))
        selects = _selects(request, place)
        if flag(request.query_params, "watch"):
            return self._watch(request, place, selects)
        return self._list(request, place, selects)

    async def _create(self, request: Request, place: Place) -> Response:
        body = await read_body(request)
        if not place.resource.is_kept:
            return JSONResponse(reviews.answer(place.resource, self.access, request.user, body), status_code=201)
        if place.subresource == "token":
            return JSONResponse(issue_token(self.api, self.tokens, place, body), status_code=201)
        given = body if isinstance(body, dict) else {}
        if place.subresource == "binding":
            self.api.bind(place, given)
            return JSONResponse(responses.success(), status_code=201)
        if place.subresource == "eviction":
            evict(self.api, place, given, delete_options(request.query_params, given.get("deleteOptions")))
            return JSONResponse(responses.success(), status_code=201)
        if place.name or (place.resource.namespaced and not place.namespace):
            raise method_not_allowed()
        return responses.one(Shape.of(request), place.resource, self.api.create(place, body, write_options(request)))

    async def _update(self, request: Request, place: Place) -> Response:
        _require_object(place)
        body = await read_body(request)
        return responses.one(Shape.of(request), place.resource, self.api.update(place, body, write_options(request)))

    async def _patch(self, request: Request, place: Place) -> Response:
        _require_object(place)
        body, options = await read_body(request), write_options(request)
        creating = read_attributes(request.method, request.url.path, request.query_params).creating()
        options = replace(options, may_create=lambda: self.access.require(request.user, creating))
        return responses.one(
            Shape.of(request), place.resource, self.api.patch(place, content_type(request), body, options)
        )

    async def _delete(self, request: Request, place: Place) -> Response:
        body = await read_body(request)
        options = delete_options(request.query_params, body)
        if place.subresource:
            raise method_not_allowed()
        if not place.name:
            return self._delete_many(request, place, options)
        document, gone = self.api.delete(place, options)
        return JSONResponse(responses.success(place, document) if gone else document)

    def _delete_many(self, request: Request, place: Place, options: Json) -> Response:
        selects = _selects(request, place)
        chosen = [each for each in self.api.select(place) if selects(each)]
        for document in chosen:
            self.api.delete(Place.of(place.resource, document), options)
        return responses.many(Shape.of(request), place.resource, chosen, {"resourceVersion": str(self.store.revision)})

    def _list(self, request: Request, place: Place, selects: Test) -> Response:
        """A list, or a page of one: all pages show the state at the time of the first."""
        query = request.query_params
        limit = integer(query, "limit") if query.get("limit") else 0
        start = read_token(query["continue"]) if query.get("continue") else None
        revision = start.revision if start else self._list_revision(query)
        found = [each for each in self.api.select(place, revision) if selects(each)]
        page = cut(found, max(0, limit), revision, start.after if start else None)
        metadata: Json = {"resourceVersion": str(revision)}
        if page.token:
            metadata["continue"] = page.token
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                metadata["remainingItemCount"] = page.remaining
        return responses.many(Shape.of(request), place.resource, page.items, metadata)

    def _list_revision(self, query: QueryParams) -> int:
        """The moment that a list is to show: now, unless exactly another is asked for. Raises 504 for one to come."""
        asked = integer(query, "resourceVersion") if query.get("resourceVersion") else 0
        if asked > self.store.revision:
            why = f"Too large resource version: {asked}, current: {self.store.revision}"
            raise StatusError(504, "Timeout", why, {"causes": [{"reason": "ResourceVersionTooLarge", "message": why}]})
        return asked if query.get("resourceVersionMatch") == "Exact" else self.store.revision

    def _watch(self, request: Request, place: Place, selects: Test) -> Response:
        query = request.query_params
        since = query.get("resourceVersion", "")
        from_present = flag(query, "sendInitialEvents") or since in ("", "0")
        plan = WatchPlan(
            collection=place.resource.collection,
            namespace=place.namespace or None if place.resource.namespaced else None,
            selects=selects,
            since=None if from_present else integer(query, "resourceVersion"),
            bookmarks=flag(query, "allowWatchBookmarks"),
            initial_end=flag(query, "sendInitialEvents"),
            timeout_seconds=float(integer(query, "timeoutSeconds"))
            if query.get("timeoutSeconds")
            else DEFAULT_WATCH_SECONDS,
            shown=lambda document: self.api.shown(place.resource, document),
        )
        changes = self.hub.watch(plan)
        return StreamingResponse(
            responses.lines(Shape.of(request), place.resource, changes), media_type="application/json"
        )


async def _crashed(request: Request, error: Exception) -> Response:
    """For what nobody foresaw; Starlette logs it."""
    refusal = StatusError(500, "InternalError", f"Internal error occurred: {error!r}")
    return JSONResponse(refusal.document(), status_code=500)


def _selects(request: Request, place: Place) -> Test:
    query = request.query_params
    selects = compile_selectors(query.get("labelSelector", ""), query.get("fieldSelector", ""), place.resource.fields)
    return event_views.select_as_served(place.resource.collection, selects)


def _require_object(place: Place) -> None:
    if not place.name or place.subresource not in ("", "status"):
        raise method_not_allowed()


def _found(document: Json | None) -> Response:
    if document is None:
        raise no_such_path()
    return JSONResponse(document)
