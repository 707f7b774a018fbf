"""Builds the services of `/v1`. Called by the gateway's services.py."""

from dataclasses import dataclass

from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.generation.image_resolver import ImageResolver
from darkroom_gateway.generation.service import GenerationService
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.jobs.run_files import RunFiles
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.jobs.submission import JobSubmission
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.photos.upload_validator import UploadValidator
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.training.service import TrainingService
from darkroom_gateway.v1.answers import JobAnswers
from darkroom_gateway.v1.job_actions import JobActions
from darkroom_gateway.v1.retries import JobRetries
from darkroom_gateway.v1.submissions import SpecSubmissions
from darkroom_gateway.v1.uploads import Uploads
from darkroom_gateway.v1.waiting import JobWaits


@dataclass(frozen=True)
class V1Services:
    """Called by the routers of `/v1`."""

    answers: JobAnswers
    waits: JobWaits
    actions: JobActions
    retries: JobRetries
    submissions: SpecSubmissions
    uploads: Uploads
    run_files: RunFiles


@dataclass(frozen=True)
class SharedServices:
    """What the services of `/v1` share with the older endpoints."""

    store: JobStore
    kube: KubeClient
    storage: ObjectStorage
    backends: Backends
    jobs: JobService
    submission: JobSubmission
    training: TrainingService
    generation: GenerationService
    images: ImageResolver
    validator: UploadValidator
    shutdown: Shutdown


def build_v1_services(shared: SharedServices, root_path: str) -> V1Services:
    storage, backends, jobs, images = shared.storage, shared.backends, shared.jobs, shared.images
    uploads = Uploads(storage, backends, shared.validator, shared.kube.namespace)
    return V1Services(
        answers=JobAnswers(shared.store, storage, root_path),
        waits=JobWaits(shared.store, shared.shutdown),
        actions=JobActions(jobs, shared.kube, backends.cluster),
        retries=JobRetries(jobs, shared.submission, shared.training, shared.generation, images),
        submissions=SpecSubmissions(shared.training, shared.generation, shared.validator, images, uploads),
        uploads=uploads,
        run_files=RunFiles(jobs, storage, backends, f"{root_path}/v1"),
    )
