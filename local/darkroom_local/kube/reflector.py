"""Keeps a local copy of a collection by list and watch, as client-go's Reflector does. Used by the node."""

import logging
from collections.abc import Callable

import httpx

from darkroom_local.backoff import ExponentialBackoff
from darkroom_local.errors import ApiError, ExpiredError
from darkroom_local.kube.client import Json, KubeClient
from darkroom_local.kube.retry import request_backoff

log = logging.getLogger(__name__)


class Reflector:
    """Calls `changed` with all objects of the collection, by uid, after every change.

    Level-triggered: the callee reads the whole collection, so nothing depends on seeing each event.
    """

    def __init__(self, client: KubeClient, path: str, changed: Callable[[dict[str, Json]], None], **query: str) -> None:
        self._client = client
        self._path = path
        self._changed = changed
        self._query = query
        self._objects: dict[str, Json] = {}

    async def run(self) -> None:
        """List and watch until cancelled, with a backoff while the API server is unreachable or fails."""
        backoff = request_backoff()
        while True:
            try:
                await self._list_and_watch(backoff)
            except ExpiredError:
                log.info("the watch of %s is out of date; listing again", self._path)
            except (ApiError, httpx.TransportError, ValueError) as error:
                log.warning("watching %s failed: %r; retrying", self._path, error)
                await backoff.wait()

    async def _list_and_watch(self, backoff: ExponentialBackoff) -> None:
        answer = await self._client.get(self._path, **self._query)
        self._objects = {item["metadata"]["uid"]: item for item in answer["items"]}
        self._changed(self._objects)
        async for event in self._client.watch(self._path, answer["metadata"]["resourceVersion"], **self._query):
            backoff.reset()
            if event["type"] != "BOOKMARK":
                self._handle(event["type"], event["object"])

    def _handle(self, event_type: str, document: Json) -> None:
        uid = document["metadata"]["uid"]
        if event_type == "DELETED":
            self._objects.pop(uid, None)
        else:
            self._objects[uid] = document
        self._changed(self._objects)
