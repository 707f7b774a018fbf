"""Builds what the endpoints of `/v1/images` call, from the services of the gateway. app.py creates one set."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from darkroom_contract.jobs import Job
from darkroom_gateway.model_names import as_mapping
from darkroom_gateway.openai_images.abandoned_jobs import AbandonedJobs
from darkroom_gateway.openai_images.results import Results
from darkroom_gateway.openai_images.service import ImageJobs
from darkroom_gateway.openai_images.stream import ImageEvents, StreamForm
from darkroom_gateway.services import Services


@dataclass(frozen=True)
class ImageServices:
    """Called by openai_images/router.py."""

    jobs: ImageJobs
    results: Results
    gateway: Services

    def events(self, job: Job, form: StreamForm) -> ImageEvents:
        """Raises `TooManyStreamsError`."""
        return ImageEvents(job, form, self.gateway.events, self.results)


def build_image_services(services: Services) -> ImageServices:
    """Opens no connection."""
    clients = services.clients
    settings = clients.settings
    return ImageServices(
        jobs=ImageJobs(
            services.generation,
            services.jobs,
            AbandonedJobs(services.sweeper, services.shutdown),
            services.v1.waits,
            services.shutdown,
            as_mapping(settings.model_aliases),
            settings.image_wait_seconds,
        ),
        results=Results(clients.storage, clients.backends.storage, settings.root_path),
        gateway=services,
    )


async def _services_of(request: Request) -> ImageServices:
    # A coroutine, because FastAPI would run a plain function in a worker thread for every request.
    services: ImageServices = request.app.state.image_services
    return services


ImageServicesOfApp = Annotated[ImageServices, Depends(_services_of)]
