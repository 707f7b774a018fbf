"""`pods/log`: proxies the log from the pod's node."""

import logging
from collections.abc import AsyncIterator, Mapping

import httpx
from starlette.responses import Response, StreamingResponse

from darkroom_local.apiserver.apimachinery.errors import StatusError, service_unavailable
from darkroom_local.apiserver.apimachinery.unstructured import dig
from darkroom_local.apiserver.registry.pods import log_target
from darkroom_local.apiserver.registry.request import RequestTarget
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.resource import NODES
from darkroom_local.plain_http import NO_CERTIFICATES

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0


async def pod_log(api: ResourceApi, target: RequestTarget, query: Mapping[str, str]) -> Response:
    """The container's log, streamed with `follow`; 204 for an unbound pod. Raises 400, 404 or 503."""
    pod = api.get(target)
    node_name, container = log_target(pod, query.get("container", ""))
    if not node_name:
        return Response(status_code=204)
    url = f"{_kubelet(api, node_name)}/containerLogs/{target.namespace}/{target.name}/{container}"
    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
    client = httpx.AsyncClient(timeout=timeout, verify=NO_CERTIFICATES, trust_env=False)
    try:
        response = await client.send(client.build_request("GET", url, params=dict(query)), stream=True)
    except httpx.HTTPError as error:
        await client.aclose()
        raise service_unavailable(f"node {node_name} does not respond: {error}") from error
    if response.status_code != 200:
        text = (await response.aread()).decode(errors="replace")
        await client.aclose()
        raise StatusError(response.status_code, "BadRequest", text)
    return StreamingResponse(_proxy(client, response), media_type="text/plain")


async def _proxy(client: httpx.AsyncClient, response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:  # The headers are already sent, so the response can only end early.
        log.warning("log stream from a node ended early: %r", error)
    finally:
        await response.aclose()
        await client.aclose()


def _kubelet(api: ResourceApi, node_name: str) -> str:
    node = api.store.get(NODES, "", node_name)
    port = dig(node, ("status", "daemonEndpoints", "kubeletEndpoint", "Port"))
    if not isinstance(port, int):
        raise service_unavailable(f"node {node_name} does not exist or serves no logs")
    return f"http://127.0.0.1:{port}"
