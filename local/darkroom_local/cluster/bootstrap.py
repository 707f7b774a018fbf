"""What an API server must hold before the parts can work: namespace, kinds, and the runners' Secret. For cluster.py.

Everything is applied, so that a cluster that was prepared before is brought up to date.
"""

import asyncio
from datetime import UTC, datetime

from darkroom_contract.crd import definition
from darkroom_contract.names import LABEL_MANAGED_BY, Kind
from darkroom_local.errors import ApiError, LocalError, NotFoundError, StartFailedError
from darkroom_local.kube.client import Json, KubeClient
from darkroom_local.node.registration import LEASE_SECONDS, LEASES_PATH

NODE_ANNOTATION = "darkroom.dev/local-node"
"""On the Secret: the node beside the storage that it leads to."""
MANAGER = "darkroom-local"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ESTABLISHED_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.05


async def prepare(client: KubeClient, namespace: str, secret_name: str, runner: dict[str, str], node: str) -> None:
    """For the runs of `node`, which get `runner` as their environment.

    Raises `StartFailedError` when the API server refuses, and `LocalError` when the namespace is another's.
    """
    try:
        await _create_namespace(client, namespace)
        await asyncio.gather(*(_establish(client, kind) for kind in Kind))
        await _require_own_secret(client, namespace, secret_name, node)
        await _apply_secret(client, namespace, secret_name, runner, node)
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


async def _require_own_secret(client: KubeClient, namespace: str, name: str, node: str) -> None:
    """Raises `LocalError` when there is one that is not ours: it may be the way to somebody's real storage.

    Nor is one ours whose node is alive and another: its jobs' photos and models are not in our storage.
    """
    try:
        found = (await client.get(_secret_path(namespace, name)))["metadata"]
    except NotFoundError:
        return
    if (found.get("labels") or {}).get(LABEL_MANAGED_BY) != MANAGER:
        raise LocalError(f"namespace {namespace} has a Secret {name} of another Darkroom: name another --namespace")
    other = (found.get("annotations") or {}).get(NODE_ANNOTATION, node)
    if other != node and await _is_alive(client, other):
        raise LocalError(
            f"namespace {namespace} is used by another `darkroom up`, whose node {other} is alive: stop that one, or "
            f"name another --namespace (after its sudden end a node counts as alive for {LEASE_SECONDS} s)"
        )


async def _is_alive(client: KubeClient, node: str) -> bool:
    """Whether it was heard of within the term of its Lease, and has not said that it is about to be away."""
    try:
        lease = (await client.get(f"{LEASES_PATH}/{node}"))["spec"]
        status = (await client.get(f"/api/v1/nodes/{node}"))["status"]
    except NotFoundError:
        return False
    silent = datetime.now(UTC) - datetime.fromisoformat(lease["renewTime"])
    is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or [])
    return is_ready and silent.total_seconds() < LEASE_SECONDS


async def _apply_secret(client: KubeClient, namespace: str, name: str, content: dict[str, str], node: str) -> None:
    labels, annotations = {LABEL_MANAGED_BY: MANAGER}, {NODE_ANNOTATION: node}
    metadata = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}
    await client.apply(_secret_path(namespace, name), secret, MANAGER)


def _secret_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"
