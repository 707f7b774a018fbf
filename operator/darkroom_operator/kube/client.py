"""Client of the Kubernetes API: every request of the operator except kopf's watches.

Each method sends one request, once. It never retries: after a failure the reconcile plans again on current data, where
a retry would repeat a decision that may be outdated. Objects are plain JSON; failures raise the `ApiError`s of
`errors.py`.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import kopf

from darkroom_contract import names
from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_operator.clock import ServerClock
from darkroom_operator.errors import ApiError, UnreachableError, api_error
from darkroom_operator.kube.objects import Json

TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
PAGE_SIZE = 500
FIELD_MANAGER = "darkroom-operator"


class KubeClient:
    """The objects of one namespace."""

    def __init__(
        self,
        namespace: str,
        login: Callable[[], kopf.ConnectionInfo],
        clock: ServerClock | None = None,
        count_request: Callable[[str, int | None], None] = lambda method, code: None,
    ) -> None:
        """`count_request` is called with method and status code of each request; None stands for no response."""
        self._login = login
        self._clock = clock or ServerClock()
        self._count_request = count_request
        self._connection = login()
        self._session: aiohttp.ClientSession | None = None
        self._jobs = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._events = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def __aenter__(self) -> Self:
        self._session = _open(self._connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server serves the kind: its CRD may not be installed yet."""
        try:
            await self._send("GET", f"{self._jobs}/{kind.plural}", query={"limit": "1"})
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True

    async def get_job(self, kind: Kind, name: str) -> Json:
        return await self._send("GET", f"{self._jobs}/{kind.plural}/{name}")

    async def patch_status(self, kind: Kind, name: str, patch: Json) -> Json:
        return await self._patch(f"{self._jobs}/{kind.plural}/{name}/status", patch)

    async def delete_job(self, kind: Kind, name: str, uid: str) -> None:
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        await self._send("DELETE", f"{self._jobs}/{kind.plural}/{name}", options)

    def list_jobs(self, kind: Kind) -> AsyncIterator[tuple[str, list[Json]]]:
        return self._list(f"{self._jobs}/{kind.plural}")

    async def create_pod(self, manifest: Json) -> Json:
        """With strict field validation: otherwise a typo in the runner template would be dropped silently."""
        return await self._send("POST", self._pods, manifest, query={"fieldValidation": "Strict"})

    async def get_pod(self, name: str) -> Json:
        return await self._send("GET", f"{self._pods}/{name}")

    async def remove_gate(self, name: str, uid: str, gate: str, annotations: Mapping[str, str] | None = None) -> Json:
        """Remove this scheduling gate only: other controllers own the others. Sets the annotations with it."""
        spec = {"schedulingGates": [{"$patch": "delete", "name": gate}]}
        metadata = {"uid": uid} | ({"annotations": dict(annotations)} if annotations else {})
        return await self._patch(f"{self._pods}/{name}", {"metadata": metadata, "spec": spec}, STRATEGIC_PATCH)

    async def patch_pod(self, name: str, patch: Json) -> Json:
        return await self._patch(f"{self._pods}/{name}", patch)

    async def delete_pod(self, name: str, uid: str, version: str) -> None:
        """Delete gracefully, if the pod has not changed since this version."""
        options = {"preconditions": {"uid": uid, "resourceVersion": version}}
        await self._send("DELETE", f"{self._pods}/{name}", options)

    def list_pods(self, selector: Mapping[str, str]) -> AsyncIterator[tuple[str, list[Json]]]:
        return self._list(self._pods, selector)

    async def create_event(self, event: Json) -> Json:
        return await self._send("POST", self._events, event)

    async def patch_event(self, name: str, patch: Json) -> Json:
        return await self._patch(f"{self._events}/{name}", patch)

    async def create_lease(self, manifest: Json) -> Json:
        return await self._send("POST", self._leases, manifest)

    async def get_lease(self, name: str) -> Json:
        return await self._send("GET", f"{self._leases}/{name}")

    async def patch_lease(self, name: str, patch: Json) -> Json:
        return await self._patch(f"{self._leases}/{name}", patch)

    def list_leases(self, selector: Mapping[str, str]) -> AsyncIterator[tuple[str, list[Json]]]:
        return self._list(self._leases, selector)

    async def _list(
        self, path: str, selector: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[str, list[Json]]]:
        """The pages of a list, each with the resource version of the whole list."""
        query = {"limit": str(PAGE_SIZE), "labelSelector": ",".join(f"{k}={v}" for k, v in (selector or {}).items())}
        token = ""
        while True:
            page = await self._send("GET", path, query=query | ({"continue": token} if token else {}))
            yield page["metadata"]["resourceVersion"], page["items"]
            token = page["metadata"].get("continue") or ""
            if not token:
                return

    async def _patch(self, path: str, patch: Json, content_type: str = MERGE_PATCH) -> Json:
        return await self._send("PATCH", path, patch, content_type=content_type)

    async def _send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """Send a request. After a 401 it reads the credentials and sends the request once more: tokens rotate."""
        request = f"{method} {path}"
        parameters = dict(query or {}) | ({"fieldManager": FIELD_MANAGER} if method in ("POST", "PATCH") else {})
        headers = {"Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        for is_last in (False, True):
            status, answer = await self._exchange(request, method, path, parameters, headers, data)
            if status != 401 or is_last:
                break
            await self._log_in_again()
        if status >= 400:
            raise api_error(request, status, str(answer.get("reason") or ""), str(answer.get("message") or answer))
        return answer

    async def _exchange(
        self,
        request: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        data: bytes | None,
    ) -> tuple[int, Json]:
        if self._session is None:
            raise RuntimeError("KubeClient is used outside of its `async with`")
        url = self._connection.server.rstrip("/") + path
        sent = time.monotonic()
        try:
            async with self._session.request(method, url, params=query, headers=headers, data=data) as response:
                if response.status < 500:  # The Date of a 502 is the proxy's.
                    self._clock.observe(response.headers.get("Date"), sent)
                answer = _parse(await response.read())
                self._count_request(method, response.status)
                return response.status, answer
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._count_request(method, None)
            raise UnreachableError(request, repr(error)) from error

    async def _log_in_again(self) -> None:
        self._connection = self._login()
        if self._session is not None:
            await self._session.close()
        self._session = _open(self._connection)


def _open(connection: kopf.ConnectionInfo) -> aiohttp.ClientSession:
    secure = connection.server.startswith("https://")
    connector = aiohttp.TCPConnector(ssl=connection.as_ssl_context()) if secure else aiohttp.TCPConnector()
    headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER, **connection.as_http_headers()}
    return aiohttp.ClientSession(connector=connector, headers=headers, timeout=TIMEOUT, trust_env=connection.trust_env)


def _parse(body: bytes) -> Json:
    """The JSON body. A proxy may answer with something else: it becomes the message."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return {"message": body[:300].decode(errors="replace")}
    return answer if isinstance(answer, dict) else {"message": str(answer)}


RUNNER_PODS = {names.LABEL_COMPONENT: names.RUNNER_COMPONENT}
"""Label selector of the pods of runs."""
