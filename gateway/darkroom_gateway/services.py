"""Puts the gateway together: doors from settings, services from doors. Made by app.py, one set for each application."""

import gc
from dataclasses import dataclass
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request

from darkroom_gateway.busy import Busy
from darkroom_gateway.cluster import Cluster
from darkroom_gateway.events import Events
from darkroom_gateway.generation import Generation
from darkroom_gateway.informer import Informer
from darkroom_gateway.job_answers import JobAnswers
from darkroom_gateway.job_store import JobStore
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
    store: JobStore
    informer: Informer
    jobs: Jobs
    job_answers: JobAnswers
    known_models: KnownModels
    events: Events
    metrics: Metrics
    shutdown: Shutdown
    root_path: str
    """With which links of answers begin."""

    async def start(self) -> None:
        """What works in the background, from the event loop that serves requests."""
        # Modules and routes live as long as the process: a full collection that walks them stops every answer for long.
        gc.collect()
        gc.freeze()
        self.informer.start()

    async def close(self) -> None:
        await to_thread.run_sync(self.informer.close)
        await self.progress.close()
        await to_thread.run_sync(self.cluster.close)
        await to_thread.run_sync(self.storage.close)


def build_services(settings: Settings) -> Services:
    """Connects to nothing yet. Raises `SettingsError` when there is no way to the cluster."""
    store = JobStore()
    cluster, storage, progress = Cluster(settings, store.put), Storage(settings), Progress(settings)
    informer = Informer(cluster, store)
    jobs, known_models = Jobs(cluster, storage, store, informer), KnownModels(cluster, storage, store)
    busy = Busy(cluster, settings.busy_policy)
    metrics, shutdown = Metrics(), Shutdown()
    submission = Submission(cluster, metrics)
    return Services(
        cluster=cluster,
        storage=storage,
        progress=progress,
        training=Training(submission, storage, PhotoDoor(), busy),
        generation=Generation(submission, known_models, busy),
        store=store,
        informer=informer,
        jobs=jobs,
        job_answers=JobAnswers(store, storage, settings.root_path),
        known_models=known_models,
        events=Events(jobs, progress, settings.events_poll_seconds, shutdown, settings.root_path),
        metrics=metrics,
        shutdown=shutdown,
        root_path=settings.root_path,
    )


async def _services(request: Request) -> Services:
    # Not a plain function: FastAPI would call that in one of the worker threads, for every request.
    services: Services = request.app.state.services
    return services


ServicesOfApp = Annotated[Services, Depends(_services)]
