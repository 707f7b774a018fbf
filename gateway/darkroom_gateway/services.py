"""Puts the gateway together: doors from settings, services from doors. Made by app.py, one set for each application."""

import gc
from dataclasses import dataclass
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request

from darkroom_contract.photo_decoder import DecodingLimits
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import READY_SECONDS
from darkroom_gateway.deletion.dataset_retention import DatasetRetention
from darkroom_gateway.deletion.job_deleter import JobDeleter
from darkroom_gateway.deletion.model_deleter import ModelDeleter
from darkroom_gateway.deletion.sweeper import Sweeper
from darkroom_gateway.events.hub import EventHub
from darkroom_gateway.events.progress_streams import ProgressStreams
from darkroom_gateway.generation.service import GenerationService
from darkroom_gateway.health.readiness import BackendName, Readiness
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.jobs.busy_policy import BusyCheck
from darkroom_gateway.jobs.response_cache import ResponseCache
from darkroom_gateway.jobs.run_logs import RunLogs
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.jobs.submission import JobSubmission
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.kube.informer import Informer
from darkroom_gateway.metrics import Metrics
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.models.catalog import ModelCatalog
from darkroom_gateway.photos.decoder_pool import DecoderPool
from darkroom_gateway.photos.upload_validator import UploadValidator
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.training.orphaned_photos import OrphanedPhotos
from darkroom_gateway.training.service import TrainingService


@dataclass(frozen=True)
class Services:
    """What endpoints call."""

    cluster: KubeClient
    storage: ObjectStorage
    progress: ProgressStreams
    backends: Backends
    upload_validator: UploadValidator
    training: TrainingService
    generation: GenerationService
    store: JobStore
    informer: Informer
    jobs: JobService
    run_logs: RunLogs
    response_cache: ResponseCache
    model_catalog: ModelCatalog
    orphaned_photos: OrphanedPhotos
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
        await self.orphaned_photos.close()
        await self.storage.stop()
        await self.upload_validator.close()
        await self.events.close()
        await to_thread.run_sync(self.informer.close)
        await self.progress.close()
        await to_thread.run_sync(self.cluster.close)
        await to_thread.run_sync(self.storage.close)


def build_services(settings: Settings) -> Services:
    """Connects to nothing yet. Raises `SettingsError` when there is no way to the cluster."""
    store = JobStore()
    cluster, storage, progress = KubeClient(settings, store.put), ObjectStorage(settings), ProgressStreams(settings)
    informer, backends = Informer(cluster, store), Backends()
    jobs = JobService(cluster, backends.cluster, store, informer)
    model_catalog = ModelCatalog(cluster, storage, backends, store)
    busy = BusyCheck(cluster, backends.cluster, settings.busy_policy)
    base_models = BaseModelChecker(settings.model_root)
    metrics, shutdown = Metrics(), Shutdown()
    submission = JobSubmission(cluster, backends.cluster, metrics)
    orphaned_photos = OrphanedPhotos(storage, backends.storage)
    upload_validator = _photo_door(settings)
    return Services(
        cluster=cluster,
        storage=storage,
        progress=progress,
        backends=backends,
        upload_validator=upload_validator,
        training=TrainingService(
            submission, storage, backends.uploads, orphaned_photos, upload_validator, base_models, busy
        ),
        generation=GenerationService(submission, model_catalog, base_models, busy),
        store=store,
        informer=informer,
        jobs=jobs,
        run_logs=RunLogs(jobs, storage, backends),
        response_cache=ResponseCache(store, storage, settings.root_path),
        model_catalog=model_catalog,
        orphaned_photos=orphaned_photos,
        readiness=_readiness(cluster, informer, storage),
        events=EventHub(
            jobs.refresh,
            progress,
            settings.events_poll_seconds,
            shutdown,
            settings.root_path,
            settings.max_event_streams,
        ),
        sweeper=Sweeper(
            jobs,
            backends,
            JobDeleter(cluster, storage),
            ModelDeleter(storage, settings.namespace),
            DatasetRetention(storage, settings.namespace, settings.dataset_retention),
            progress,
        ),
        metrics=metrics,
        shutdown=shutdown,
        root_path=settings.root_path,
    )


def _readiness(cluster: KubeClient, informer: Informer, storage: ObjectStorage) -> Readiness:
    def check_cluster() -> None:
        cluster.check()
        # Before its first list, polls would be 503: the gateways that have all jobs shall answer them.
        informer.wait_ready(READY_SECONDS / 2)

    return Readiness({BackendName.CLUSTER: check_cluster, BackendName.STORAGE: storage.check})


def _photo_door(settings: Settings) -> UploadValidator:
    limits = DecodingLimits(settings.photo_memory_bytes, settings.photo_seconds)
    return UploadValidator(DecoderPool(settings.decoders, limits), settings.max_uploads)


async def _services(request: Request) -> Services:
    # Not a plain function: FastAPI would call that in one of the worker threads, for every request.
    services: Services = request.app.state.services
    return services


ServicesOfApp = Annotated[Services, Depends(_services)]
