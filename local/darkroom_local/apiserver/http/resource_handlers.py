"""Handlers of the resource paths: each HTTP method calls a verb and renders JSON, a table, or a watch stream."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from darkroom_local.apiserver.apimachinery.api_paths import boolean_parameter
from darkroom_local.apiserver.apimachinery.errors import StatusError, method_not_allowed
from darkroom_local.apiserver.apimachinery.selectors import Predicate, compile_selectors
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.auth import access_reviews
from darkroom_local.apiserver.auth.attributes import read_attributes
from darkroom_local.apiserver.auth.authorizer import Authorizer
from darkroom_local.apiserver.auth.token_requests import request_token
from darkroom_local.apiserver.auth.tokens import Tokens
from darkroom_local.apiserver.http import responses
from darkroom_local.apiserver.http.body import content_type, read_body
from darkroom_local.apiserver.http.pod_logs import pod_log
from darkroom_local.apiserver.http.requests import (
    ResponseFormat,
    delete_options,
    find_target,
    integer_parameter,
    write_options,
)
from darkroom_local.apiserver.registry.evictions import evict
from darkroom_local.apiserver.registry.request import RequestTarget, WriteResult
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.event_views import event_selector
from darkroom_local.apiserver.storage.paging import cut_page, read_token
from darkroom_local.apiserver.storage.watch import WatchHub, WatchPlan

DEFAULT_WATCH_SECONDS = 1800


class ResourceHandlers:
    """Serves all resources and subresources."""

    def __init__(self, api: ResourceApi, hub: WatchHub, tokens: Tokens, authorizer: Authorizer) -> None:
        self._api, self._hub, self._tokens, self._authorizer = api, hub, tokens, authorizer

    async def serve(self, request: Request) -> Response:
        target = find_target(self._api.registry, request.url.path)
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
            return await pod_log(self._api, target, request.query_params)
        if target.subresource not in ("", "status"):
            raise method_not_allowed()
        if target.name:
            return _object_response(request, target, WriteResult(self._api.get(target)))
        if boolean_parameter(request.query_params, "watch"):
            return self._watch(request, target)
        return self._list(request, target)

    async def _create(self, request: Request, target: RequestTarget) -> Response:
        body = await read_body(request)
        if not target.resource.is_stored:
            review = access_reviews.answer(target.resource, self._authorizer, request.user, body)
            return JSONResponse(review, status_code=201)
        if target.subresource:
            return JSONResponse(self._create_subresource(request, target, body), status_code=201)
        if target.name or (target.resource.namespaced and not target.namespace):
            raise method_not_allowed()
        return _object_response(request, target, self._api.create(target, body, write_options(request)))

    def _create_subresource(self, request: Request, target: RequestTarget, body: Json | None) -> Json:
        if target.subresource == "token":
            return request_token(self._api, self._tokens, target, body)
        given = body if isinstance(body, dict) else {}
        if target.subresource == "binding":
            self._api.bind(target, given)
        elif target.subresource == "eviction":
            evict(self._api, target, given, delete_options(request.query_params, given.get("deleteOptions")))
        else:
            raise method_not_allowed()
        return responses.success_status()

    async def _update(self, request: Request, target: RequestTarget) -> Response:
        _require_object(target)
        body = await read_body(request)
        return _object_response(request, target, self._api.update(target, body, write_options(request)))

    async def _patch(self, request: Request, target: RequestTarget) -> Response:
        _require_object(target)
        body, options = await read_body(request), write_options(request)
        creating = read_attributes(request.method, request.url.path, request.query_params).creating()
        options = replace(options, may_create=lambda: self._authorizer.require(request.user, creating))
        return _object_response(request, target, self._api.patch(target, content_type(request), body, options))

    async def _delete(self, request: Request, target: RequestTarget) -> Response:
        body = await read_body(request)
        options = delete_options(request.query_params, body)
        if target.subresource:
            raise method_not_allowed()
        if not target.name:
            return self._delete_collection(request, target, options)
        document, removed = self._api.delete(target, options)
        return JSONResponse(responses.success_status(target, document) if removed else document)

    def _delete_collection(self, request: Request, target: RequestTarget, options: Json) -> Response:
        matches = _selector(request, target)
        selected = [each for each in self._api.list_objects(target) if matches(each)]
        for document in selected:
            self._api.delete(RequestTarget.of(target.resource, document), options)
        metadata = {"resourceVersion": str(self._api.store.revision)}
        return responses.list_response(ResponseFormat.of(request), target.resource, selected, metadata)

    def _list(self, request: Request, target: RequestTarget) -> Response:
        """A list or one page of it; all pages show the state at the time of the first."""
        query, matches = request.query_params, _selector(request, target)
        limit = integer_parameter(query, "limit")
        start = read_token(query["continue"]) if query.get("continue") else None
        revision = start.revision if start else self._list_revision(query)
        found = [each for each in self._api.list_objects(target, revision) if matches(each)]
        page = cut_page(found, max(0, limit), revision, start.after if start else None)
        metadata: Json = {"resourceVersion": str(revision)}
        if page.token:
            metadata["continue"] = page.token
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                metadata["remainingItemCount"] = page.remaining
        return responses.list_response(ResponseFormat.of(request), target.resource, page.items, metadata)

    def _list_revision(self, query: QueryParams) -> int:
        """The revision of a list: the current one, unless `Exact` requests another. Raises 504 for a future one."""
        requested, current = integer_parameter(query, "resourceVersion"), self._api.store.revision
        if requested > current:
            why = f"Too large resource version: {requested}, current: {current}"
            raise StatusError(504, "Timeout", why, {"causes": [{"reason": "ResourceVersionTooLarge", "message": why}]})
        return requested if query.get("resourceVersionMatch") == "Exact" else current

    def _watch(self, request: Request, target: RequestTarget) -> Response:
        query = request.query_params
        send_existing = boolean_parameter(query, "sendInitialEvents")
        from_start = send_existing or query.get("resourceVersion", "") in ("", "0")
        plan = WatchPlan(
            collection=target.resource.collection,
            namespace=target.namespace or None if target.resource.namespaced else None,
            selects=_selector(request, target),
            since=None if from_start else integer_parameter(query, "resourceVersion"),
            bookmarks=boolean_parameter(query, "allowWatchBookmarks"),
            initial_end=send_existing,
            timeout_seconds=float(integer_parameter(query, "timeoutSeconds", DEFAULT_WATCH_SECONDS)),
            convert=lambda document: self._api.as_version(target.resource, document),
        )
        lines = responses.watch_lines(ResponseFormat.of(request), target.resource, self._hub.watch(plan))
        return StreamingResponse(lines, media_type="application/json")


def _object_response(request: Request, target: RequestTarget, result: WriteResult) -> Response:
    return responses.object_response(ResponseFormat.of(request), target.resource, result)


def _selector(request: Request, target: RequestTarget) -> Predicate:
    query = request.query_params
    resource = target.resource
    matches = compile_selectors(query.get("labelSelector", ""), query.get("fieldSelector", ""), resource.fields)
    return event_selector(resource.collection, matches)


def _require_object(target: RequestTarget) -> None:
    if not target.name or target.subresource not in ("", "status"):
        raise method_not_allowed()
