"""The sender of webhooks of one namespace, in this process: with a real API server, informer and store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest

from darkroom_contract.names import ANNOTATION_WEBHOOK, Kind
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.kube.informer import Informer
from darkroom_gateway.metrics import Metrics
from darkroom_gateway.settings import WebhookAddresses
from darkroom_gateway.webhooks.cluster import LEASE
from darkroom_gateway.webhooks.services import build_webhook_sender
from support.isolated_namespace import ENDED, IsolatedNamespace
from support.webhook_receiver import SECRET

WAIT_SECONDS = 60.0


async def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true result; the event loop continues meanwhile."""
    end = asyncio.get_running_loop().time() + WAIT_SECONDS
    while not (found := condition()):
        assert asyncio.get_running_loop().time() < end, f"{what}: not within {WAIT_SECONDS:g} s"
        await asyncio.sleep(0.02)
    return found


class WebhookStage:
    """Jobs of a namespace, and the metrics of its sender."""

    def __init__(self, isolated: IsolatedNamespace, metrics: Metrics, store: JobStore) -> None:
        self._isolated = isolated
        self._metrics = metrics
        self._store = store

    def create(self, name: str, webhook: str, record: str | None = None, **spec: Any) -> str:
        """Create a job as kubectl does; returns its uid."""
        document = {"prompt": "a dog", "webhook": webhook, **spec}
        annotations = {} if record is None else {ANNOTATION_WEBHOOK: record}
        created = self._isolated.api.create(Kind.GENERATE, name, document, annotations=annotations)
        uid: str = created["metadata"]["uid"]
        return uid

    def finish(self, name: str, phase: str = "Succeeded") -> None:
        self._isolated.api.set_status(Kind.GENERATE, name, phase=phase, startTime=ENDED, completionTime=ENDED)

    def delete(self, name: str) -> None:
        self._isolated.api.delete(Kind.GENERATE, name)

    def is_watched(self, name: str) -> bool:
        return self._store.get(Kind.GENERATE, name) is not None

    def record(self, name: str) -> str:
        metadata = self._isolated.api.get(Kind.GENERATE, name)["metadata"]
        found: str = metadata.get("annotations", {}).get(ANNOTATION_WEBHOOK, "")
        return found

    def events(self) -> list[dict[str, Any]]:
        path = f"/apis/events.k8s.io/v1/namespaces/{self._isolated.namespace}/events"
        found: list[dict[str, Any]] = self._isolated.api.http.get(path).json()["items"]
        return found

    def lease(self) -> dict[str, Any]:
        """The spec of the Lease of the sender."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self._isolated.namespace}/leases/{LEASE}"
        found: dict[str, Any] = self._isolated.api.http.get(path).json().get("spec") or {}
        return found

    def metric(self, line: str) -> float:
        """The value of a metric, by its name and labels."""
        text = generate_latest(self._metrics.registry).decode()
        return next(float(each.rpartition(" ")[2]) for each in text.splitlines() if each.startswith(line + " "))


@contextlib.asynccontextmanager
async def webhook_stage(
    isolated: IsolatedNamespace, folder: Path, addresses: WebhookAddresses = WebhookAddresses.ANY, seconds: int = 15
) -> AsyncIterator[WebhookStage]:
    path = folder / "webhook-secrets"
    path.write_text(SECRET)
    settings = isolated.settings.model_copy(
        update={
            "webhook_secrets": path,
            "webhook_addresses": addresses,
            "webhook_seconds": seconds,
            "webhook_lease_seconds": 5,
        }
    )
    store, metrics = JobStore(), Metrics()
    kube = KubeClient(settings, store.put)
    informer = Informer(kube, store)
    sender = build_webhook_sender(settings, store, kube, isolated.storage, Backends().webhooks, metrics)
    assert sender is not None
    informer.start()
    running = asyncio.create_task(sender.run())
    try:
        yield WebhookStage(isolated, metrics, store)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(informer.close)
        kube.close()
