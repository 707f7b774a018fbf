"""Builds the services of the gateway from the settings. app.py creates one set per application."""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.photos.decoder import DecodingLimits
from darkroom_contract.tracing.tracing import Tracing
from darkroom_gateway.backends.deadlines import READY_SECONDS
from darkroom_gateway.clients import Clients, open_clients
from darkroom_gateway.deletion.dataset_retention import DatasetRetention
from darkroom_gateway.deletion.import_collector import ImportCollector
from darkroom_gateway.deletion.job_deleter import JobDeleter
from darkroom_gateway.deletion.model_deleter import ModelDeleter
from darkroom_gateway.deletion.sweeper import Sweeper
from darkroom_gateway.deletion.upload_collector import UploadCollector
from darkroom_gateway.events.hub import EventHub
from darkroom_gateway.events.job_changes import JobChanges
from darkroom_gateway.events.log_stream import LogFollower
from darkroom_gateway.events.namespace_follower import NamespaceFollower
from darkroom_gateway.events.places import Places
from darkroom_gateway.events.shared_logs import SharedLogs
from darkroom_gateway.generation.image_links import LinkDownloader
from darkroom_gateway.generation.image_resolver import ImageResolver
from darkroom_gateway.generation.serializers import images_answer
from darkroom_gateway.generation.service import GenerationService
from darkroom_gateway.generation.stored_images import StoredImages
from darkroom_gateway.health.readiness import BackendName, ReadinessChecks
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.http.upload_slots import UploadSlots
from darkroom_gateway.jobs.busy_policy import BusyCheck
from darkroom_gateway.jobs.orphaned_photos import OrphanedPhotos
from darkroom_gateway.jobs.response_cache import ResponseCache
from darkroom_gateway.jobs.run_files import RunFiles
from darkroom_gateway.jobs.run_logs import RunLogs
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.jobs.submission import JobSubmission
from darkroom_gateway.jobs.submission_limits import SubmissionLimits
from darkroom_gateway.jobs.uploaded_files import UploadedFiles
from darkroom_gateway.kube.informer import Informer
from darkroom_gateway.limits.rate_limiter import RateLimiter
from darkroom_gateway.metrics import Metrics
from darkroom_gateway.model_import.importer import ModelImporter
from darkroom_gateway.model_import.lora_source import LoraSource, UploadLimits
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.models.catalog import ModelCatalog
from darkroom_gateway.photos.decoder_pool import DecoderPool
from darkroom_gateway.photos.upload_validator import UploadValidator
from darkroom_gateway.redis.shared_buckets import SharedBuckets
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.training.references import TrainingReferences
from darkroom_gateway.training.serializers import training_answer
from darkroom_gateway.training.service import TrainingService
from darkroom_gateway.v1.serializers import v1_job
from darkroom_gateway.v1.services import SharedServices, V1Services, build_v1_services
from darkroom_gateway.webhooks.sender import WebhookSender
from darkroom_gateway.webhooks.services import build_webhook_sender, webhook_policy


@dataclass(frozen=True)
class Services:
    """Called by the routers."""

    clients: Clients
    jobs: JobService
    training: TrainingService
    generation: GenerationService
    model_catalog: ModelCatalog
    base_models: BaseModelChecker
    model_importer: ModelImporter
    run_files: RunFiles
    run_logs: RunLogs
    response_cache: ResponseCache
    events: EventHub
    all_events: NamespaceFollower
    log_follower: LogFollower
    sweeper: Sweeper
    readiness: ReadinessChecks
    upload_validator: UploadValidator
    v1: V1Services
    webhooks: WebhookSender | None
    orphaned_photos: OrphanedPhotos
    rate_limiter: RateLimiter | None
    shared_buckets: SharedBuckets | None
    metrics: Metrics
    shutdown: Shutdown

    @property
    def root_path(self) -> str:
        """Prefix of the links in answers."""
        return self.clients.settings.root_path

    @property
    def informer(self) -> Informer:
        return self.clients.informer

    async def start(self) -> None:
        """Start the background work. Call it from the event loop that serves requests."""
        # Modules and routes live as long as the process. A full collection that walks them would delay every response.
        gc.collect()
        gc.freeze()
        self.clients.informer.start()
        await self.clients.storage.start()

    async def close(self) -> None:
        await self.orphaned_photos.close()
        await self.clients.storage.stop()
        await self.upload_validator.close()
        await self.all_events.close()
        await self.events.close()
        await self.clients.close()


def build_services(settings: Settings, tracing: Tracing | None = None) -> Services:
    """Opens no connection yet. Raises `SettingsError` when there is no usable kubeconfig or Redis URL."""
    clients, metrics, shutdown = open_clients(settings), Metrics(), Shutdown()
    tracing = tracing or Tracing()
    kube, storage, backends = clients.kube, clients.storage, clients.backends
    jobs = JobService(kube, backends.cluster, clients.store, clients.informer)
    model_catalog = ModelCatalog(kube, storage, backends, clients.store)
    base_models = BaseModelChecker(settings.model_root)
    orphaned_photos = OrphanedPhotos(storage, backends.storage)
    shared = _submissions(clients, jobs, model_catalog, base_models, orphaned_photos, metrics, shutdown, tracing)
    places = Places(settings.max_event_streams)
    events = _event_hub(clients, jobs, shutdown, places)
    rate_limiter = None if settings.requests_per_minute is None else RateLimiter(settings.requests_per_minute)
    return Services(
        clients=clients,
        jobs=jobs,
        training=shared.training,
        generation=shared.generation,
        model_catalog=model_catalog,
        base_models=base_models,
        model_importer=_importer(clients, shared.validator.slots, model_catalog, base_models),
        run_files=RunFiles(jobs, storage, backends, settings.root_path),
        run_logs=RunLogs(jobs, storage, backends),
        response_cache=ResponseCache(clients.store, _serializers(storage, settings), settings.root_path),
        events=events,
        all_events=_all_events(clients, events, shutdown, places),
        log_follower=LogFollower(jobs.refresh, SharedLogs(storage, backends.storage), shutdown, places),
        sweeper=_sweeper(clients, jobs),
        readiness=_readiness(clients),
        upload_validator=shared.validator,
        v1=build_v1_services(shared, settings.root_path),
        webhooks=build_webhook_sender(settings, clients.store, kube, storage, backends.webhooks, metrics),
        orphaned_photos=orphaned_photos,
        rate_limiter=rate_limiter,
        shared_buckets=_shared_buckets(rate_limiter, settings),
        metrics=metrics,
        shutdown=shutdown,
    )


def _submissions(
    clients: Clients,
    jobs: JobService,
    model_catalog: ModelCatalog,
    base_models: BaseModelChecker,
    orphaned_photos: OrphanedPhotos,
    metrics: Metrics,
    shutdown: Shutdown,
    tracing: Tracing,
) -> SharedServices:
    settings, kube, storage, backends = clients.settings, clients.kube, clients.storage, clients.backends
    limits = SubmissionLimits(
        clients.store, settings.max_queued, settings.quotas, metrics.count_limited, clients.informer.ready
    )
    submission = JobSubmission(kube, backends.cluster, metrics, webhook_policy(settings), limits, tracing)
    busy = BusyCheck(kube, backends.cluster, settings.busy_policy)
    uploaded_files = UploadedFiles(submission, storage, backends.uploads, orphaned_photos)
    policy = settings.dataset_policy
    references = TrainingReferences(storage, backends.storage, settings.namespace, policy, model_catalog)
    validator = _upload_validator(settings)
    images = _images(clients, jobs, validator)
    training = TrainingService(submission, storage.bucket, uploaded_files, validator, base_models, references, busy)
    generation = GenerationService(submission, model_catalog, base_models, busy, policy, images, uploaded_files)
    return SharedServices(
        clients.store, kube, storage, backends, jobs, submission, training, generation, images, validator, shutdown
    )


def _shared_buckets(limiter: RateLimiter | None, settings: Settings) -> SharedBuckets | None:
    if limiter is None or settings.redis_url is None:
        return None
    return SharedBuckets(limiter, settings.redis_url, settings.namespace)


def _upload_validator(settings: Settings) -> UploadValidator:
    limits = DecodingLimits(settings.photo_memory_bytes, settings.photo_seconds)
    return UploadValidator(DecoderPool(settings.decoders, limits), settings.max_uploads)


def _serializers(storage: ObjectStorage, settings: Settings) -> Mapping[Kind, Callable[[Job], BaseModel]]:
    return {
        Kind.TRAIN: lambda job: training_answer(job, storage, settings.root_path),
        Kind.GENERATE: lambda job: images_answer(job, storage, settings.root_path),
    }


def _event_hub(clients: Clients, jobs: JobService, shutdown: Shutdown, places: Places) -> EventHub:
    settings = clients.settings
    return EventHub(
        jobs.refresh, clients.progress_streams, settings.events_poll_seconds, shutdown, settings.root_path, places
    )


def _all_events(clients: Clients, hub: EventHub, shutdown: Shutdown, places: Places) -> NamespaceFollower:
    root_path = clients.settings.root_path
    return NamespaceFollower(
        JobChanges(clients.store),
        hub,
        lambda job: v1_job(job, clients.storage, root_path),
        clients.informer.require_watch,
        shutdown,
        root_path,
        places,
    )


def _sweeper(clients: Clients, jobs: JobService) -> Sweeper:
    storage, settings = clients.storage, clients.settings
    return Sweeper(
        jobs,
        clients.backends,
        JobDeleter(clients.kube, storage),
        ModelDeleter(storage, settings.namespace),
        ImportCollector(storage, settings.namespace),
        DatasetRetention(storage, settings.namespace, settings.dataset_retention),
        UploadCollector(storage, settings.namespace),
        clients.progress_streams,
    )


def _images(clients: Clients, jobs: JobService, validator: UploadValidator) -> ImageResolver:
    settings, storage = clients.settings, clients.storage
    stored = StoredImages(jobs, storage, clients.backends.storage, settings.namespace, settings.dataset_policy)
    links = LinkDownloader(settings.image_links)
    return ImageResolver(validator, links, stored, settings.s3_bucket, settings.namespace)


def _importer(
    clients: Clients, slots: UploadSlots, catalog: ModelCatalog, base_models: BaseModelChecker
) -> ModelImporter:
    settings, storage, backends = clients.settings, clients.storage, clients.backends
    limits = UploadLimits(settings.model_upload_bytes, settings.max_upload_bytes)
    source = LoraSource(storage, backends, settings.dataset_policy, settings.namespace, slots, limits)
    return ModelImporter(
        source,
        storage,
        backends,
        catalog,
        JobDeleter(clients.kube, storage),
        base_models,
        settings.namespace,
        settings.default_base_model,
    )


def _readiness(clients: Clients) -> ReadinessChecks:
    def check_cluster() -> None:
        clients.kube.check()
        # A gateway without its first list would answer polls with 503: leave them to gateways that are synced.
        clients.informer.wait_ready(READY_SECONDS / 2)

    return ReadinessChecks({BackendName.CLUSTER: check_cluster, BackendName.STORAGE: clients.storage.check})


async def _services(request: Request) -> Services:
    # A coroutine, because FastAPI would run a plain function in a worker thread for every request.
    services: Services = request.app.state.services
    return services


ServicesOfApp = Annotated[Services, Depends(_services)]
