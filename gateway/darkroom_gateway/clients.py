"""The gateway's connections to its backends. Built by services.py."""

from dataclasses import dataclass

from anyio import to_thread

from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.kube.informer import Informer
from darkroom_gateway.redis.progress_streams import ProgressStreams
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage


@dataclass(frozen=True)
class Clients:
    """Connections to the cluster, object storage and Redis, and what only wraps them."""

    settings: Settings
    store: JobStore
    kube: KubeClient
    informer: Informer
    storage: ObjectStorage
    progress_streams: ProgressStreams
    backends: Backends

    async def close(self) -> None:
        await to_thread.run_sync(self.informer.close)
        await self.progress_streams.close()
        await to_thread.run_sync(self.kube.close)
        await to_thread.run_sync(self.storage.close)


def open_clients(settings: Settings) -> Clients:
    """Opens no connection yet. Raises `SettingsError` when there is no usable kubeconfig or Redis URL."""
    store = JobStore()
    kube = KubeClient(settings, store.put)
    return Clients(
        settings=settings,
        store=store,
        kube=kube,
        informer=Informer(kube, store),
        storage=ObjectStorage(settings),
        progress_streams=ProgressStreams(settings),
        backends=Backends(),
    )
