"""An asynchronous HTTP client of the Kubernetes API. Used by the node and by the cluster's bootstrap.

Not the official client: the node needs five verbs, and importing `kubernetes` takes longer than starting the whole
local cluster.
"""

import json
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import httpx

from darkroom_local.errors import ApiError, api_error
from darkroom_local.kube.kubeconfig import Connection

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
WATCH_SECONDS = 60
"""The server ends a watch after this time; then the collection is listed again."""
OVERDUE_SECONDS = 30
"""A watch without data that is still open this long after its end has lost its server."""


class KubeClient:
    """A connection pool to one API server. Every method raises `ApiError` or `httpx.TransportError`."""

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
        """Apply a merge patch, JSON or strategic. `metadata.uid` in it is a precondition."""
        return await self._request("PATCH", path, content=json.dumps(document), headers={"Content-Type": kind})

    async def apply(self, path: str, document: Json, field_manager: str) -> Json:
        """Server-side apply, which creates a missing object."""
        params = {"fieldManager": field_manager, "force": "true"}
        headers = {"Content-Type": APPLY_PATCH}
        return await self._request("PATCH", path, content=json.dumps(document), params=params, headers=headers)

    async def delete(self, path: str, *, uid: str, grace_seconds: int) -> None:
        """Delete the object, on the precondition that it has this uid."""
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": grace_seconds,
            "preconditions": {"uid": uid},
        }
        await self._request("DELETE", path, json=options)

    async def watch(self, path: str, resource_version: str, **query: str) -> AsyncIterator[Json]:
        """Events after a resource version, until the server ends the watch. On `ExpiredError`, list again."""
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
