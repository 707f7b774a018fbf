"""Puts the gateway together: doors from settings, services from doors. Made by app.py, one set for each application."""

import gc
from dataclasses import dataclass
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request

from darkroom_contract.photo_decoder import DecodingLimits
from darkroom_gateway.backends import Backends
from darkroom_gateway.base_models import BaseModels
from darkroom_gateway.busy import Busy
from darkroom_gateway.cluster import Cluster
from darkroom_gateway.deadlines import READY_SECONDS
from darkroom_gateway.decoders import Decoders
from darkroom_gateway.event_hub import EventHub
from darkroom_gateway.forgetting.datasets import Datasets
from darkroom_gateway.forgetting.job_files import JobFiles
from darkroom_gateway.forgetting.model_files import ModelFiles
from darkroom_gateway.forgetting.sweeper import Sweeper
from darkroom_gateway.generation import Generation
from darkroom_gateway.informer import Informer
from darkroom_gateway.job_answers import JobAnswers
from darkroom_gateway.job_store import JobStore
from darkroom_gateway.jobs import Jobs
from darkroom_gateway.known_models import KnownModels
from darkroom_gateway.leftover_photos import LeftoverPhotos
from darkroom_gateway.metrics import Metrics
from darkroom_gateway.photos import PhotoDoor
from darkroom_gateway.progress import Progress
from darkroom_gateway.readiness import BackendName, Readiness
from darkroom_gateway.run_logs import RunLogs
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
    backends: Backends
    photo_door: PhotoDoor
    training: Training
    generation: Generation
    store: JobStore
    informer: Informer
    jobs: Jobs
    run_logs: RunLogs
    job_answers: JobAnswers
    known_models: KnownModels
    leftovers: LeftoverPhotos
    readiness: Readiness
    events: EventHub
    sweeper: Sweeper
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
        await self.storage.start()

    async def close(self) -> None:
        await self.leftovers.close()
        await self.storage.stop()
        await self.photo_door.close()
        await self.events.close()
        await to_thread.run_sync(self.informer.close)
        await self.progress.close()
        await to_thread.run_sync(self.cluster.close)
        await to_thread.run_sync(self.storage.close)


def build_services(settings: Settings) -> Services:
    """Connects to nothing yet. Raises `SettingsError` when there is no way to the cluster."""
    store = JobStore()
    cluster, storage, progress = Cluster(settings, store.put), Storage(settings), Progress(settings)
    informer, backends = Informer(cluster, store), Backends()
    jobs = Jobs(cluster, backends.cluster, store, informer)
    known_models = KnownModels(cluster, storage, backends, store)
    busy = Busy(cluster, backends.cluster, settings.busy_policy)
    base_models = BaseModels(settings.model_root)
    metrics, shutdown = Metrics(), Shutdown()
    submission = Submission(cluster, backends.cluster, metrics)
    leftovers = LeftoverPhotos(storage, backends.storage)
    photo_door = _photo_door(settings)
    return Services(
        cluster=cluster,
        storage=storage,
        progress=progress,
        backends=backends,
        photo_door=photo_door,
        training=Training(submission, storage, backends.uploads, leftovers, photo_door, base_models, busy),
        generation=Generation(submission, known_models, base_models, busy),
        store=store,
        informer=informer,
        jobs=jobs,
        run_logs=RunLogs(jobs, storage, backends),
        job_answers=JobAnswers(store, storage, settings.root_path),
        known_models=known_models,
        leftovers=leftovers,
        readiness=_readiness(cluster, informer, storage),
        events=EventHub(
            jobs.find_again,
            progress,
            settings.events_poll_seconds,
            shutdown,
            settings.root_path,
            settings.max_event_streams,
        ),
        sweeper=Sweeper(
            jobs,
            backends,
            JobFiles(cluster, storage),
            ModelFiles(storage, settings.namespace),
            Datasets(storage, settings.namespace, settings.dataset_retention),
            progress,
        ),
        metrics=metrics,
        shutdown=shutdown,
        root_path=settings.root_path,
    )


def _readiness(cluster: Cluster, informer: Informer, storage: Storage) -> Readiness:
    def check_cluster() -> None:
        cluster.check()
        # Before its first list, polls would be 503: the gateways that have all jobs shall answer them.
        informer.wait_ready(READY_SECONDS / 2)

    return Readiness({BackendName.CLUSTER: check_cluster, BackendName.STORAGE: storage.check})


def _photo_door(settings: Settings) -> PhotoDoor:
    limits = DecodingLimits(settings.photo_memory_bytes, settings.photo_seconds)
    return PhotoDoor(Decoders(settings.decoders, limits), settings.max_uploads)


async def _services(request: Request) -> Services:
    # Not a plain function: FastAPI would call that in one of the worker threads, for every request.
    services: Services = request.app.state.services
    return services


ServicesOfApp = Annotated[Services, Depends(_services)]
