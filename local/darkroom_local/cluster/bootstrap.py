"""Creates what the components need on the API server: the namespace, the CRDs and the runners' Secret.

Uses server-side apply, so objects of an earlier start are updated. Called by `LocalCluster`.
"""

import asyncio
from datetime import UTC, datetime

from darkroom_contract.crd.definitions import definition
from darkroom_contract.names import LABEL_MANAGED_BY, Kind
from darkroom_local.errors import ApiError, LocalError, NotFoundError, StartFailedError
from darkroom_local.kube.client import Json, KubeClient
from darkroom_local.node.registration import LEASE_SECONDS, LEASES_PATH

NODE_ANNOTATION = "darkroom.dev/local-node"
"""On the Secret: the node of the cluster whose storage it points to."""
FIELD_MANAGER = "darkroom-local"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ESTABLISHED_SECONDS = 30.0
POLL_SECONDS = 0.05


async def bootstrap(client: KubeClient, namespace: str, secret_name: str, runner: dict[str, str], node: str) -> None:
    """Prepare `namespace` for the runs of `node`, whose environment is `runner`.

    Raises `StartFailedError` when the API server rejects an object, `LocalError` when another cluster owns the
    namespace.
    """
    try:
        await _create_namespace(client, namespace)
        await asyncio.gather(*(_establish(client, kind) for kind in Kind))
        await _require_own_secret(client, namespace, secret_name, node)
        await _apply_secret(client, namespace, secret_name, runner, node)
    except ApiError as error:
        raise StartFailedError(f"the API server rejected an object of the bootstrap: {error}") from error


async def _create_namespace(client: KubeClient, namespace: str) -> None:
    try:
        await client.get(f"/api/v1/namespaces/{namespace}")
    except NotFoundError:
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await client.apply(f"/api/v1/namespaces/{namespace}", document, FIELD_MANAGER)


async def _establish(client: KubeClient, kind: Kind) -> None:
    """Apply a CRD and wait until it is established."""
    path = f"{CRDS}/{kind.crd_name}"
    document = await client.apply(path, definition(kind), FIELD_MANAGER)
    try:
        async with asyncio.timeout(ESTABLISHED_SECONDS):
            while not _is_established(document):
                await asyncio.sleep(POLL_SECONDS)
                document = await client.get(path)
    except TimeoutError as error:
        raise StartFailedError(f"CRD {kind.crd_name} was not established after {ESTABLISHED_SECONDS:.0f} s") from error


def _is_established(document: Json) -> bool:
    conditions = (document.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


async def _require_own_secret(client: KubeClient, namespace: str, name: str, node: str) -> None:
    """Raises `LocalError` when the Secret belongs to another installation: it may hold credentials of real storage.

    So does a Secret of another local cluster whose node is alive: its photos and models are not in our storage.
    """
    try:
        found = (await client.get(_secret_path(namespace, name)))["metadata"]
    except NotFoundError:
        return
    if (found.get("labels") or {}).get(LABEL_MANAGED_BY) != FIELD_MANAGER:
        raise LocalError(
            f"namespace {namespace} has a Secret {name} of another Darkroom installation: choose another --namespace"
        )
    other = (found.get("annotations") or {}).get(NODE_ANNOTATION, node)
    if other != node and await _is_alive(client, other):
        raise LocalError(
            f"namespace {namespace} is used by another `darkroom up`, whose node {other} is alive: stop it, or choose "
            f"another --namespace (a killed node counts as alive for {LEASE_SECONDS} s)"
        )


async def _is_alive(client: KubeClient, node: str) -> bool:
    """Whether its Lease is current and its Ready condition is True."""
    try:
        lease = (await client.get(f"{LEASES_PATH}/{node}"))["spec"]
        status = (await client.get(f"/api/v1/nodes/{node}"))["status"]
    except NotFoundError:
        return False
    silence = datetime.now(UTC) - datetime.fromisoformat(lease["renewTime"])
    is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or [])
    return is_ready and silence.total_seconds() < LEASE_SECONDS


async def _apply_secret(client: KubeClient, namespace: str, name: str, content: dict[str, str], node: str) -> None:
    labels, annotations = {LABEL_MANAGED_BY: FIELD_MANAGER}, {NODE_ANNOTATION: node}
    metadata = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}
    await client.apply(_secret_path(namespace, name), secret, FIELD_MANAGER)


def _secret_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"
