"""Everything that can go wrong in the gateway, each with the HTTP status that it is answered with.

    GatewayError
    ├── InvalidRequestError       422  a parameter that can't be used
    │   ├── InvalidPhotosError    422  photos that can't be trained on
    │   └── KeyReusedError        422  an Idempotency-Key of another request, or of a job that is being deleted
    ├── UnauthorizedError         401  no API key, or one that is nobody's
    ├── TooLargeError             413  a body beyond the limit
    ├── MalformedRequestError     400  what is no HTTP/1.1 request
    ├── RequestTimeoutError       408  a head or a body that comes too slowly
    ├── UrlTooLongError           414  more path and parameters than any request has
    ├── HeadersTooLargeError      431  too many header fields, or too large ones
    ├── ForeignHostError          421  a Host that is none of this gateway's
    ├── CrossSiteError            403  a change that another site's page asks for
    ├── UnknownTaskError          404  no job of that name
    ├── UnknownLogError           404  no run of that number, or it has said nothing yet
    ├── UnknownModelError         404  no LoRA of that name, neither made nor in the making
    ├── AmbiguousTaskError        409  a name that a TrainJob and a GenerateJob share
    ├── AlreadyDeletingError      409  a job that is being deleted without its files
    ├── ModelInUseError           409  a model that an unfinished job makes or needs
    ├── BusyError                 409  a job runs, and requests are not to wait
    ├── RejectedError             4xx  the API server refused; its own status
    ├── UnreadableJobError        500  a job that does not fit this release's schema
    └── UnavailableError          503  something the gateway needs is down
        ├── ClusterUnavailableError    the API server
        ├── StorageUnavailableError    object storage
        ├── TooManyConnectionsError    as many connections as it takes
        ├── TooManyUploadsError        this gateway takes no more uploads at the moment
        ├── NoUploadSpaceError         its temporary folder is full
        ├── DecodersUnavailableError   it can't start a process that decodes photos
        ├── NotReadyError              what /readyz found
        ├── TooManyStreamsError        as many streams of events as the gateway may send
        └── ProgressUnavailableError   Redis; never reaches a person, since streams go on without

`SettingsError` stands apart: it ends the process at its start. http/problems.py turns the tree into answers.
The names are part of the API: without `Error` they end the `type` of a problem, and are never renamed.
"""

from collections.abc import Iterable
from dataclasses import dataclass


class SettingsError(Exception):
    """The environment holds a value that can't be used."""


@dataclass(frozen=True)
class FieldError:
    """One thing to change: which parameter, what was given, and what to do about it."""

    parameter: str
    message: str
    given: str | None = None


class GatewayError(Exception):
    """The root; `str()` of it is the text for people."""

    status = 500
    title = "The gateway failed"
    retry_after_seconds: int | None = None

    def __init__(self, detail: str, field_errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.field_errors = field_errors


class InvalidRequestError(GatewayError):
    status = 422
    title = "The request can't be used as it is"


def invalid_request(field_errors: Iterable[FieldError]) -> InvalidRequestError:
    """The error of these field errors, the first three of them in its text."""
    found = tuple(field_errors)
    return InvalidRequestError(" ".join(f"{each.parameter}: {each.message}" for each in found[:3]), found)


class InvalidPhotosError(InvalidRequestError):
    title = "The photos can't be used as they are"

    def __init__(self, field_errors: tuple[FieldError, ...]) -> None:
        super().__init__(" ".join(each.message for each in field_errors[:3]), field_errors)


class KeyReusedError(InvalidRequestError):
    title = "The Idempotency-Key belongs to another request"


class UnauthorizedError(GatewayError):
    status = 401
    title = "An API key is needed"


class TooLargeError(GatewayError):
    status = 413
    title = "The upload is too large"


class MalformedRequestError(GatewayError):
    status = 400
    title = "The request can't be read"


class RequestTimeoutError(GatewayError):
    status = 408
    title = "The request took too long to arrive"


class UrlTooLongError(GatewayError):
    status = 414
    title = "The URL is too long"


class HeadersTooLargeError(GatewayError):
    status = 431
    title = "The headers are too large"


class ForeignHostError(GatewayError):
    status = 421
    title = "The gateway is not known by this name"


class CrossSiteError(GatewayError):
    status = 403
    title = "Another site may not change anything here"


class UnknownTaskError(GatewayError):
    status = 404
    title = "There is no such task"


class UnknownLogError(GatewayError):
    status = 404
    title = "There is no such log"


class UnknownModelError(GatewayError):
    status = 404
    title = "There is no such model"


class AmbiguousTaskError(GatewayError):
    status = 409
    title = "Two tasks have this name"


class AlreadyDeletingError(GatewayError):
    status = 409
    title = "The job is being deleted already"


class ModelInUseError(GatewayError):
    status = 409
    title = "The model is in use"


class BusyError(GatewayError):
    status = 409
    title = "Another job is running"


class RejectedError(GatewayError):
    """The API server said no, and why; its status is handed on."""

    title = "The cluster refused"

    def __init__(self, status: int, detail: str, field_errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail, field_errors)
        self.status = status


class UnreadableJobError(GatewayError):
    title = "The job can't be read"


class UnavailableError(GatewayError):
    status = 503
    title = "Something that the gateway needs is down"
    retry_after_seconds = 5


class ClusterUnavailableError(UnavailableError):
    """`maybe_done`: the request may have reached the API server all the same, and only the answer been lost."""

    title = "The cluster is not available"

    def __init__(self, detail: str, *, maybe_done: bool = False) -> None:
        super().__init__(detail)
        self.maybe_done = maybe_done


class StorageUnavailableError(UnavailableError):
    title = "Object storage is not available"


class TooManyConnectionsError(UnavailableError):
    title = "The gateway has too many connections"


class TooManyUploadsError(UnavailableError):
    title = "Too many uploads at once"


class NoUploadSpaceError(UnavailableError):
    title = "There is no room for the upload"
    retry_after_seconds = 30


class DecodersUnavailableError(UnavailableError):
    title = "Photos can't be checked at the moment"


class NotReadyError(UnavailableError):
    title = "The gateway is not ready"


class TooManyStreamsError(UnavailableError):
    title = "Too many streams of events"
    retry_after_seconds = 10


class ProgressUnavailableError(UnavailableError):
    title = "Live progress is not available"
