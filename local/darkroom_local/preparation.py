"""What an API server must hold before the parts can work: namespace, kinds, and the runners' Secret. For cluster.py.

Everything is applied, so that a cluster that was prepared before is brought up to date.
"""

import asyncio

from darkroom_contract.crd import definition
from darkroom_contract.names import LABEL_MANAGED_BY, Kind
from darkroom_local.errors import ApiError, LocalError, NotFoundError, StartFailedError
from darkroom_local.kube import Json, KubeClient

MANAGER = "darkroom-local"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ESTABLISHED_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.05


async def prepare(client: KubeClient, namespace: str, secret_name: str, runner: dict[str, str]) -> None:
    """Raises `StartFailedError` when the API server refuses."""
    try:
        await _create_namespace(client, namespace)
        await asyncio.gather(*(_establish(client, kind) for kind in Kind))
        await _apply_secret(client, namespace, secret_name, runner)
    except ApiError as error:
        raise StartFailedError(f"the API server can't be prepared: {error}") from error


async def _create_namespace(client: KubeClient, namespace: str) -> None:
    try:
        await client.get(f"/api/v1/namespaces/{namespace}")
    except NotFoundError:
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await client.apply(f"/api/v1/namespaces/{namespace}", document, MANAGER)


async def _establish(client: KubeClient, kind: Kind) -> None:
    """Define a kind and wait until it is served."""
    path = f"{CRDS}/{kind.crd_name}"
    document = await client.apply(path, definition(kind), MANAGER)
    try:
        async with asyncio.timeout(ESTABLISHED_SECONDS):
            while not _is_established(document):
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                document = await client.get(path)
    except TimeoutError as error:
        raise StartFailedError(f"{kind.crd_name} was not established in {ESTABLISHED_SECONDS:.0f} s") from error


def _is_established(document: Json) -> bool:
    conditions = (document.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


async def _apply_secret(client: KubeClient, namespace: str, name: str, content: dict[str, str]) -> None:
    """Raises `LocalError` when there is one that is not ours: it may be the way to somebody's real storage."""
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    try:
        labels = (await client.get(path))["metadata"].get("labels") or {}
        if labels.get(LABEL_MANAGED_BY) != MANAGER:
            raise LocalError(f"namespace {namespace} has a Secret {name} of another Darkroom: name another --namespace")
    except NotFoundError:
        labels = {}
    metadata = {"name": name, "namespace": namespace, "labels": labels | {LABEL_MANAGED_BY: MANAGER}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}
    await client.apply(path, secret, MANAGER)
