"""Puts the gateway together: doors from settings, services from doors. Made by app.py, one set for each application."""

from dataclasses import dataclass
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request

from darkroom_gateway.base_models import BaseModels
from darkroom_gateway.busy import Busy
from darkroom_gateway.cluster import Cluster
from darkroom_gateway.events import Events
from darkroom_gateway.generation import Generation
from darkroom_gateway.jobs import Jobs
from darkroom_gateway.known_models import KnownModels
from darkroom_gateway.metrics import Metrics
from darkroom_gateway.photos import PhotoDoor
from darkroom_gateway.progress import Progress
from darkroom_gateway.settings import Settings
from darkroom_gateway.shutdown import Shutdown
from darkroom_gateway.storage import Storage
from darkroom_gateway.submission import Submission
from darkroom_gateway.training import Training


@dataclass(frozen=True)
class Services:
    """What endpoints call."""

    cluster: Cluster
    storage: Storage
    progress: Progress
    training: Training
    generation: Generation
    jobs: Jobs
    known_models: KnownModels
    events: Events
    metrics: Metrics
    shutdown: Shutdown
    root_path: str
    """With which links of answers begin."""

    async def close(self) -> None:
        await self.progress.close()
        await to_thread.run_sync(self.cluster.close)
        await to_thread.run_sync(self.storage.close)


def build_services(settings: Settings) -> Services:
    """Connects to nothing yet. Raises `SettingsError` when there is no way to the cluster."""
    cluster, storage, progress = Cluster(settings), Storage(settings), Progress(settings)
    jobs, known_models = Jobs(cluster, storage), KnownModels(cluster, storage)
    busy = Busy(cluster, settings.busy_policy)
    base_models = BaseModels(settings.model_root)
    metrics, shutdown = Metrics(), Shutdown()
    submission = Submission(cluster, metrics)
    return Services(
        cluster=cluster,
        storage=storage,
        progress=progress,
        training=Training(submission, storage, PhotoDoor(), base_models, busy),
        generation=Generation(submission, known_models, base_models, busy),
        jobs=jobs,
        known_models=known_models,
        events=Events(jobs, progress, settings.events_poll_seconds, shutdown, settings.root_path),
        metrics=metrics,
        shutdown=shutdown,
        root_path=settings.root_path,
    )


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesOfApp = Annotated[Services, Depends(_services)]
