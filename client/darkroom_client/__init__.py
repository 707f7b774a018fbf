"""Darkroom's client: trains and generates over a gateway's REST API. Also the `darkroom` command, in cli/.

    from darkroom_client import Darkroom

    with Darkroom() as darkroom:
        job = darkroom.train("photos/", model_id="my-dog", prompt="a photo of sks dog")
        darkroom.wait(job.id).require_success()
        job = darkroom.generate("a photo of sks dog on the moon", model_id="my-dog")
        darkroom.download(darkroom.wait(job.id).require_success(), "out")

`AsyncDarkroom` is the same with asyncio. Names are imported when they are first used, so that the command starts fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darkroom_client.async_client import AsyncDarkroom as AsyncDarkroom
    from darkroom_client.errors import ConfigurationError as ConfigurationError
    from darkroom_client.errors import ConflictError as ConflictError
    from darkroom_client.errors import DarkroomError as DarkroomError
    from darkroom_client.errors import DownloadError as DownloadError
    from darkroom_client.errors import GatewayError as GatewayError
    from darkroom_client.errors import GatewayUnavailableError as GatewayUnavailableError
    from darkroom_client.errors import GatewayUnreachableError as GatewayUnreachableError
    from darkroom_client.errors import InputError as InputError
    from darkroom_client.errors import InvalidRequestError as InvalidRequestError
    from darkroom_client.errors import JobFailedError as JobFailedError
    from darkroom_client.errors import NotFoundError as NotFoundError
    from darkroom_client.errors import TooManyRequestsError as TooManyRequestsError
    from darkroom_client.errors import UnauthorizedError as UnauthorizedError
    from darkroom_client.errors import UnexpectedAnswerError as UnexpectedAnswerError
    from darkroom_client.errors import WaitTimeoutError as WaitTimeoutError
    from darkroom_client.job_events import Disconnected as Disconnected
    from darkroom_client.job_events import JobChanged as JobChanged
    from darkroom_client.job_events import JobDeleted as JobDeleted
    from darkroom_client.job_events import ProgressReported as ProgressReported
    from darkroom_client.job_events import Reset as Reset
    from darkroom_client.job_events import Warned as Warned
    from darkroom_client.models import Artifact as Artifact
    from darkroom_client.models import Job as Job
    from darkroom_client.models import Kind as Kind
    from darkroom_client.models import Model as Model
    from darkroom_client.models import ModelDetail as ModelDetail
    from darkroom_client.models import Status as Status
    from darkroom_client.retries import Retries as Retries
    from darkroom_client.sync_client import Darkroom as Darkroom

_HOMES = {
    "async_client": ("AsyncDarkroom",),
    "errors": (
        "ConfigurationError",
        "ConflictError",
        "DarkroomError",
        "DownloadError",
        "GatewayError",
        "GatewayUnavailableError",
        "GatewayUnreachableError",
        "InputError",
        "InvalidRequestError",
        "JobFailedError",
        "NotFoundError",
        "TooManyRequestsError",
        "UnauthorizedError",
        "UnexpectedAnswerError",
        "WaitTimeoutError",
    ),
    "job_events": ("Disconnected", "JobChanged", "JobDeleted", "ProgressReported", "Reset", "Warned"),
    "models": ("Artifact", "Job", "Kind", "Model", "ModelDetail", "Status"),
    "retries": ("Retries",),
    "sync_client": ("Darkroom",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
