"""The gateway's errors, each with its HTTP status. http/problems.py turns them into problem details.

    GatewayError
    ├── InvalidRequestError       422  unusable parameters
    │   ├── InvalidPhotosError    422  unusable photos
    │   ├── InvalidImagesError    422  unusable start pictures or masks
    │   ├── InvalidModelError     422  an unusable LoRA file
    │   ├── AnswerTooLargeError   422  pictures that are too large for one answer in base64
    │   └── KeyReusedError        422  the Idempotency-Key of another request, or of a job that is being deleted
    ├── UnauthorizedError         401  no API key, or an unknown one
    ├── TooLargeError             413  a body over the limit
    ├── MalformedRequestError     400  not an HTTP/1.1 request
    ├── RequestTimeoutError       408  a head or a body that arrives too slowly
    ├── UrlTooLongError           414  a URL over the limit
    ├── HeadersTooLargeError      431  too many or too large header fields
    ├── ForeignHostError          421  a Host that is not one of the gateway's names
    ├── CrossSiteError            403  a state-changing request from another site's page
    ├── UnknownTaskError          404  no job of that name
    ├── UnknownLogError           404  no run of that number, or no log of it yet
    ├── UnknownFileError          404  no such file of the job's runs, or not yet
    ├── UnknownModelError         404  no LoRA of that name, neither stored nor in training
    ├── AmbiguousTaskError        409  a TrainJob and a GenerateJob have the same name
    ├── UnfinishedTaskError       409  a task whose pictures are asked for has not finished
    ├── FinishedJobError          409  a change of a job that has finished
    ├── UnfinishedJobError        409  a retry of a job that has not finished
    ├── AlreadyDeletingError      409  a job that is being deleted without its files
    ├── ModelInUseError           409  a model that an unfinished job trains or uses
    ├── ModelExistsError          409  an import under the name of an existing model
    ├── BusyError                 409  another job is running, and the busy policy is Reject
    ├── TooManyRequestsError      429  a limit of this client, or of the queue (limits/errors.py)
    │   ├── RateLimitedError      429  too many requests a minute
    │   ├── QueueFullError        429  too many jobs wait
    │   └── QuotaExceededError    429  the quota of the API key is used up
    ├── RejectedError             4xx  refused by the API server, with its status
    ├── JobFailedError            400  a job that failed while its request waited for it; 500 if not by its input
    ├── WaitExpiredError          504  a job that did not finish within the longest wait of its request
    ├── UnreadableJobError        500  a job that does not match the schema of this release
    └── UnavailableError          503  a backend is down, or a limit is reached
        ├── ClusterUnavailableError    the API server
        ├── StorageUnavailableError    object storage
        ├── TooManyConnectionsError    the connection limit
        ├── TooManyUploadsError        the limit of concurrent uploads
        ├── NoUploadSpaceError         the temporary folder is full
        ├── DecodersUnavailableError   a decoder process can't be started
        ├── NotReadyError              the result of /readyz
        ├── TooManyStreamsError        the limit of event streams
        └── ProgressUnavailableError   Redis; never in a response, because streams continue without progress

`SettingsError` is separate: it ends the process at startup. The names are part of the API: without `Error` they are the
end of a problem's `type`, and are never renamed.
"""

from collections.abc import Iterable
from dataclasses import dataclass


class SettingsError(Exception):
    """An environment variable has an unusable value."""


@dataclass(frozen=True)
class FieldError:
    """A problem with one parameter or file: what was sent, and what to change."""

    parameter: str
    message: str
    given: str | None = None


class GatewayError(Exception):
    """Base class. `str()` is the `detail` of the problem."""

    status = 500
    title = "The gateway failed"
    retry_after_seconds: int | None = None

    def __init__(self, detail: str, field_errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.field_errors = field_errors


class InvalidRequestError(GatewayError):
    status = 422
    title = "The request is invalid"


def invalid_request(field_errors: Iterable[FieldError]) -> InvalidRequestError:
    """An error with these field errors. Its text has the first three."""
    found = tuple(field_errors)
    return InvalidRequestError(" ".join(f"{each.parameter}: {each.message}" for each in found[:3]), found)


class InvalidPhotosError(InvalidRequestError):
    title = "The photos are unusable"

    def __init__(self, field_errors: tuple[FieldError, ...], remark: str | None = None) -> None:
        """`remark`: what is true of the upload and is no fault of one file."""
        super().__init__(" ".join(filter(None, (*(each.message for each in field_errors[:3]), remark))), field_errors)


class InvalidImagesError(InvalidRequestError):
    title = "The pictures are unusable"

    def __init__(self, field_errors: tuple[FieldError, ...]) -> None:
        super().__init__(" ".join(f"{each.parameter}: {each.message}" for each in field_errors[:3]), field_errors)


class InvalidModelError(InvalidRequestError):
    title = "The LoRA is unusable"


class AnswerTooLargeError(InvalidRequestError):
    title = "The pictures are too large for one answer"


class KeyReusedError(InvalidRequestError):
    title = "The Idempotency-Key belongs to another request"


class UnauthorizedError(GatewayError):
    status = 401
    title = "An API key is required"


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
    title = "The Host is not one of the gateway's names"


class CrossSiteError(GatewayError):
    status = 403
    title = "Cross-site requests may not change anything"


class UnknownTaskError(GatewayError):
    status = 404
    title = "The task does not exist"


class UnknownLogError(GatewayError):
    status = 404
    title = "The log does not exist"


class UnknownFileError(GatewayError):
    status = 404
    title = "The file does not exist"


class UnknownModelError(GatewayError):
    status = 404
    title = "The model does not exist"


class AmbiguousTaskError(GatewayError):
    status = 409
    title = "Two tasks have this name"


class UnfinishedTaskError(GatewayError):
    status = 409
    title = "The task has not finished"


class FinishedJobError(GatewayError):
    status = 409
    title = "The job has finished"


class UnfinishedJobError(GatewayError):
    status = 409
    title = "The job has not finished"


class AlreadyDeletingError(GatewayError):
    status = 409
    title = "The job is already being deleted"


class ModelInUseError(GatewayError):
    status = 409
    title = "The model is in use"


class ModelExistsError(GatewayError):
    status = 409
    title = "The model exists already"


class BusyError(GatewayError):
    status = 409
    title = "Another job is running"


class RejectedError(GatewayError):
    """Refused by the API server. Has the status of its response."""

    title = "The cluster refused the request"

    def __init__(self, status: int, detail: str, field_errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail, field_errors)
        self.status = status


class JobFailedError(GatewayError):
    title = "The job failed"

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class WaitExpiredError(GatewayError):
    """The job continues."""

    status = 504
    title = "The job has not finished yet"

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class UnreadableJobError(GatewayError):
    title = "The job can't be read"


class UnavailableError(GatewayError):
    status = 503
    title = "A backend of the gateway is down"
    retry_after_seconds = 5


class ClusterUnavailableError(UnavailableError):
    """`maybe_done`: the API server may have processed the request, and only the response was lost."""

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
    title = "There is no disk space for the upload"
    retry_after_seconds = 30


class DecodersUnavailableError(UnavailableError):
    title = "Photos can't be validated at the moment"


class NotReadyError(UnavailableError):
    title = "The gateway is not ready"


class TooManyStreamsError(UnavailableError):
    title = "Too many event streams"
    retry_after_seconds = 10


class ProgressUnavailableError(UnavailableError):
    title = "Live progress is not available"
