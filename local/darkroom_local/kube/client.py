"""A small asynchronous client of the Kubernetes API. Used by the node, the cluster's set-up and the demo.

In place of the official client because the node needs five verbs only, and because importing that one takes longer
than the whole local cluster takes to start.
"""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import httpx

from darkroom_local.errors import ApiError, ExpiredError, api_error
from darkroom_local.kube.kubeconfig import Connection

Json = dict[str, Any]

log = logging.getLogger(__name__)

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
WATCH_SECONDS = 60
"""A watch is ended by the server after this long, and everything is listed anew."""
OVERDUE_SECONDS = 30
"""A watch that is not ended this long after its time, with nothing to read meanwhile, has lost its server."""
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0


class KubeClient:
    """One connection pool to one API server. Every method raises `ApiError` or `httpx.TransportError`."""

    def __init__(self, connection: Connection) -> None:
        headers = {"Authorization": f"Bearer {connection.token}"} if connection.token else {}
        timeout = httpx.Timeout(30, connect=5, pool=None)
        self._http = httpx.AsyncClient(
            base_url=connection.server, headers=headers, verify=connection.verify, timeout=timeout, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: str) -> Json:
        return await self._request("GET", path, params=query)

    async def create(self, path: str, document: Json) -> Json:
        return await self._request("POST", path, json=document)

    async def replace(self, path: str, document: Json) -> Json:
        return await self._request("PUT", path, json=document)

    async def patch(self, path: str, document: Json, kind: str = MERGE_PATCH) -> Json:
        """A merge patch, JSON or strategic. With `metadata.uid` in it, it only applies to that very object."""
        return await self._request("PATCH", path, content=json.dumps(document), headers={"Content-Type": kind})

    async def apply(self, path: str, document: Json, manager: str) -> Json:
        """Server-side apply: make the object as it is said here, whether it exists or not."""
        params = {"fieldManager": manager, "force": "true"}
        headers = {"Content-Type": APPLY_PATCH}
        return await self._request("PATCH", path, content=json.dumps(document), params=params, headers=headers)

    async def delete(self, path: str, *, uid: str, grace_seconds: int) -> None:
        """Delete exactly the object with this uid."""
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": grace_seconds,
            "preconditions": {"uid": uid},
        }
        await self._request("DELETE", path, json=options)

    async def watch(self, path: str, resource_version: str, **query: str) -> AsyncIterator[Json]:
        """The events after a resource version, until the server ends the watch. `ExpiredError` asks for a list."""
        params = query | {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = httpx.Timeout(30, read=WATCH_SECONDS + OVERDUE_SECONDS)
        async with self._http.stream("GET", path, params=params, timeout=timeout) as response:
            if response.status_code >= 400:
                await response.aread()
                raise _error(response)
            async for line in response.aiter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise api_error(status.get("code", 500), status.get("reason", ""), status.get("message", ""))
                yield event

    async def _request(self, method: str, path: str, **options: Any) -> Json:
        response = await self._http.request(method, path, **options)
        if response.status_code >= 400:
            raise _error(response)
        answer: Json = response.json()
        return answer


def _error(response: httpx.Response) -> ApiError:
    try:
        status = response.json()
    except ValueError:
        status = {}
    return api_error(response.status_code, status.get("reason", ""), status.get("message") or response.text[:500])


class Backoff:
    """Growing waits between tries, with jitter."""

    def __init__(self) -> None:
        self._next_seconds = FIRST_WAIT_SECONDS

    def reset(self) -> None:
        self._next_seconds = FIRST_WAIT_SECONDS

    async def wait(self) -> None:
        await asyncio.sleep(self._next_seconds * random.uniform(0.8, 1.2))  # noqa: S311 (no secret)
        self._next_seconds = min(2 * self._next_seconds, LONGEST_WAIT_SECONDS)


class Reflector:
    """Keeps a copy of a collection by list and watch, and calls `changed` with its objects by uid after every change.

    Level-triggered: whoever is called looks at the whole, so that nothing depends on having seen each event.
    """

    def __init__(self, client: KubeClient, path: str, changed: Callable[[dict[str, Json]], None], **query: str) -> None:
        self._client = client
        self._path = path
        self._changed = changed
        self._query = query
        self._objects: dict[str, Json] = {}

    async def run(self) -> None:
        """List and watch for ever; an unreachable or failing API server is tried again after growing waits."""
        waits = Backoff()
        while True:
            try:
                await self._list_and_watch(waits)
            except ExpiredError:
                log.info("the watch of %s is out of date: listing anew", self._path)
            except (ApiError, httpx.TransportError, ValueError) as error:
                log.warning("watching %s: %r; trying again", self._path, error)
                await waits.wait()

    async def _list_and_watch(self, waits: Backoff) -> None:
        answer = await self._client.get(self._path, **self._query)
        self._objects = {item["metadata"]["uid"]: item for item in answer["items"]}
        self._changed(self._objects)
        async for event in self._client.watch(self._path, answer["metadata"]["resourceVersion"], **self._query):
            waits.reset()
            if event["type"] != "BOOKMARK":
                self._apply(event["type"], event["object"])

    def _apply(self, event_type: str, document: Json) -> None:
        uid = document["metadata"]["uid"]
        if event_type == "DELETED":
            self._objects.pop(uid, None)
        else:
            self._objects[uid] = document
        self._changed(self._objects)


async def retry_until_answered(attempt: Callable[[], Awaitable[Json]]) -> Json:
    """Repeat a request until the API server accepts or refuses it: an outage, 429 or 5xx is only waited out.

    Raises `ApiError` for every other answer, such as 404 for an object that is gone.
    """
    waits = Backoff()
    while True:
        try:
            return await attempt()
        except httpx.TransportError as error:
            log.warning("the API server can't be reached (%r); trying again", error)
        except ApiError as error:
            if error.status != 429 and error.status < 500:
                raise
            log.warning("the API server answered %s; trying again", error)
        await waits.wait()
