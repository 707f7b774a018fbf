"""The gateway's settings. `main.py` reads the environment once; the other modules get the `Settings`."""

import ipaddress
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from darkroom_contract import environment
from darkroom_contract.base_models import DEFAULT_BASE_MODEL, parse_reference
from darkroom_contract.photos import limits as photos
from darkroom_contract.settings import Switch, WholeNumber, variable
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.settings import DatasetUris, StorageSettings
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.http.connection_bounds import ConnectionBounds
from darkroom_gateway.http.host_names import read_host_names
from darkroom_gateway.http.origins import ANY_ORIGIN, read_origins
from darkroom_gateway.http.root_path import read_root_path
from darkroom_gateway.limits.quotas import Quotas, read_quotas
from darkroom_gateway.model_names import read_aliases

MIB = 1024**2

MULTIPART_OVERHEAD_BYTES = MIB
"""Boundaries and headers of the parts, on top of the photos."""
MAX_IMAGES_BYTES = 3 * photos.MAX_PHOTO_BYTES + MULTIPART_OVERHEAD_BYTES
"""The largest body of a generation: start picture, mask, and the clip's picture."""
MAX_UPLOAD_BYTES = photos.MAX_DATASET_BYTES + MULTIPART_OVERHEAD_BYTES
MAX_OBJECT_BYTES = 5 * 1024 * MIB
"""S3 accepts no more in one PutObject."""
MAX_LINK_SECONDS = 7 * 24 * 3600
"""S3 refuses links that are valid for more than a week."""
MAX_RETENTION_HOURS = 10 * 365 * 24

PORT = "DARKROOM_GATEWAY_PORT"
METRICS_PORT = "DARKROOM_GATEWAY_METRICS_PORT"
API_KEYS_DIR = "DARKROOM_GATEWAY_API_KEYS_DIR"
ROOT_PATH = "DARKROOM_GATEWAY_ROOT_PATH"
DATASET_RETENTION_HOURS = "DARKROOM_GATEWAY_DATASET_RETENTION_HOURS"
OPEN_ACCESS = "DARKROOM_GATEWAY_OPEN_ACCESS"
ALLOWED_HOSTS = "DARKROOM_GATEWAY_ALLOWED_HOSTS"
CORS_ORIGINS = "DARKROOM_GATEWAY_CORS_ORIGINS"
QUOTAS = "DARKROOM_GATEWAY_QUOTAS"
MAX_REQUESTS_PER_MINUTE = 1_000_000
MAX_QUEUED = 1_000_000
WEBHOOK_SECRETS = "DARKROOM_GATEWAY_WEBHOOK_SECRETS"
MODEL_ALIASES = "DARKROOM_GATEWAY_MODEL_ALIASES"


class BusyPolicy(StrEnum):
    """What the gateway does with a submission while a job runs."""

    QUEUE = "Queue"
    REJECT = "Reject"


class ImageLinks(StrEnum):
    """Which links to pictures the gateway follows."""

    PUBLIC = "Public"
    ANY = "Any"
    DISABLED = "Disabled"


class WebhookAddresses(StrEnum):
    """Which addresses the gateway sends webhooks to."""

    PUBLIC = "Public"
    ANY = "Any"
    DISABLED = "Disabled"


class LogLevel(StrEnum):
    """Not the levels below DEBUG: there uvicorn prints whole requests, with their keys."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _upper(given: object) -> object:
    return given.upper() if isinstance(given, str) else given


def _check_base_model(reference: str) -> str:
    parse_reference(reference)
    return reference


def _read_host_names(given: object) -> object:
    if not isinstance(given, str):
        return given
    try:
        return read_host_names(given)
    except ValueError as error:
        raise ValueError(f"{ALLOWED_HOSTS}: {error}") from None


def _read_origins(given: object) -> object:
    if not isinstance(given, str):
        return given
    try:
        return read_origins(given)
    except ValueError as error:
        raise ValueError(f"{CORS_ORIGINS}: {error}") from None


def _read_quotas(given: object) -> object:
    return read_quotas(given) if isinstance(given, str) else given


def _read_model_aliases(given: object) -> object:
    if not isinstance(given, str):
        return given
    try:
        return read_aliases(given)
    except ValueError as error:
        raise ValueError(f"{MODEL_ALIASES}: {error}") from None


def _read_root_path(given: str) -> str:
    try:
        return read_root_path(given)
    except ValueError as error:
        raise ValueError(f"{ROOT_PATH} is {error}") from None


class Settings(StorageSettings):
    """One gateway. Credentials are not settings: boto3 and the Kubernetes client have their own sources."""

    error_type = SettingsError

    host: str = variable("DARKROOM_GATEWAY_HOST", "127.0.0.1")
    """Address to listen on. An address that others reach needs API keys, or open access."""
    port: WholeNumber = variable(PORT, 8000, ge=0, le=65_535)
    """Port to listen on. 0: any free port."""
    namespace: str = variable("DARKROOM_NAMESPACE", "default")
    """Namespace of the jobs. The gateway sees no other."""
    kubeconfig: str | None = variable("KUBECONFIG", None)
    """Path of a kubeconfig. Unset: the pod's service account, and outside a pod `~/.kube/config`."""
    s3_public_endpoint_url: str | None = variable(environment.S3_PUBLIC_ENDPOINT_URL, None)
    """Endpoint that download links are signed for, such as `https://minio.example.com`. Unset: the endpoint itself. An
    S3 signature covers the path, so storage needs a host name or a port of its own."""
    redis_url: str | None = variable(environment.REDIS_URL, None, repr=False)
    """Redis for live progress, `redis://` or `rediss://`; redis-py's options may follow `?`. Unset: event streams
    contain `status` events only."""
    model_root: Path | None = variable(environment.MODEL_ROOT, None)
    """The runners' folder of base models, where it is mounted in the gateway too: a base model that is not in it is
    refused at submission. Unset: such a job fails later."""
    dataset_uris: DatasetUris = variable(environment.DATASET_URIS, ())
    """Folders that jobs may read in addition to those of their namespace, such as `s3://bucket/shared/`. LoRA files may
    be imported from them. The same as that of operator and runner; separated by white space or commas."""
    default_base_model: Annotated[str, AfterValidator(_check_base_model)] = variable(
        environment.DEFAULT_BASE_MODEL, DEFAULT_BASE_MODEL
    )
    """Base model of jobs that name none, and of imported LoRAs whose import names none. The same as the operator's."""
    link_seconds: WholeNumber = variable("DARKROOM_GATEWAY_LINK_SECONDS", 3600, ge=1, le=MAX_LINK_SECONDS)
    """How long download links are valid; at most a week."""
    max_upload_bytes: WholeNumber = variable(
        "DARKROOM_GATEWAY_MAX_UPLOAD_BYTES", MAX_UPLOAD_BYTES, ge=1, le=MAX_UPLOAD_BYTES
    )
    """Largest request body; a larger one gets `413`. The default (501 MiB) can only be lowered."""
    max_model_bytes: WholeNumber = variable(
        "DARKROOM_GATEWAY_MAX_MODEL_BYTES", 2 * 1024 * MIB, ge=1, le=MAX_OBJECT_BYTES
    )
    """Largest LoRA file of an import. One takes the space of as many uploads of photos as it needs, and can't be larger
    than that of all `DARKROOM_GATEWAY_MAX_UPLOADS`."""
    max_uploads: WholeNumber = variable("DARKROOM_GATEWAY_MAX_UPLOADS", 8, ge=1, le=100)
    """Concurrent uploads; more get `503`. Each may use `DARKROOM_GATEWAY_MAX_UPLOAD_BYTES` of the temporary folder."""
    decoders: WholeNumber = variable("DARKROOM_GATEWAY_DECODERS", 2, ge=1, le=32)
    """Processes that decode photos, started on demand. One upload uses all but one of them."""
    photo_memory_mib: WholeNumber = variable("DARKROOM_GATEWAY_PHOTO_MEMORY_MIB", 1024, ge=64, le=16_384)
    """Memory to decode one photo, in MiB. 1024 fits 100 megapixels of JPEG, PNG or HEIC, 75 of AVIF, 60 of WebP. Linux
    enforces it; other systems may not."""
    photo_seconds: WholeNumber = variable("DARKROOM_GATEWAY_PHOTO_SECONDS", 20, ge=1, le=600)
    """Time to decode one photo; 100 megapixels take 0.3 to 2 s on an idle core."""
    image_links: ImageLinks = variable("DARKROOM_GATEWAY_IMAGE_LINKS", ImageLinks.PUBLIC)
    """Which links in `image_url`, `mask_url` and `video_image_url` are followed. `Public`: those that lead to public
    addresses, so that nobody reads the cluster's own services through the gateway. `Any`: private, loopback and
    link-local addresses too. `Disabled`: none."""
    webhook_secrets: Path | None = variable(WEBHOOK_SECRETS, None)
    """File of the secrets that sign webhooks, `whsec_` and base64, separated by white space. With several, messages
    have a signature of each, so that secrets can be rotated. The file is read again when it changes. Unset: submissions
    with a webhook are refused, and the webhooks of jobs from YAML wait."""
    webhook_addresses: WebhookAddresses = variable("DARKROOM_GATEWAY_WEBHOOK_ADDRESSES", WebhookAddresses.PUBLIC)
    """Where webhooks are sent. `Public`: over https to public addresses, so that nobody reaches the cluster's own
    services through the gateway. `Any`: over http, and to private, loopback and link-local addresses too. `Disabled`:
    nowhere."""
    webhook_seconds: WholeNumber = variable("DARKROOM_GATEWAY_WEBHOOK_SECONDS", 15, ge=1, le=60)
    """How long the receiver of a webhook has to answer."""
    webhook_lease_seconds: WholeNumber = variable("DARKROOM_GATEWAY_WEBHOOK_LEASE_SECONDS", 15, ge=5, le=300)
    """One gateway of the namespace sends webhooks, elected by a Lease. After its loss another one takes over within 1.4
    times this duration."""
    busy_policy: BusyPolicy = variable("DARKROOM_BUSY_POLICY", BusyPolicy.QUEUE)
    """What happens to a submission while a job runs: `Queue` accepts it, `Reject` answers `409`. `Reject` needs
    permission to list Leases."""
    image_wait_seconds: WholeNumber = variable("DARKROOM_GATEWAY_IMAGE_WAIT_SECONDS", 300, ge=1, le=3600)
    """Longest wait of `POST /v1/images/...` for its job; then `504`. Keep it below the timeouts of proxies, and below
    the 600 s of OpenAI's clients."""
    model_aliases: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_model_aliases)] = variable(
        MODEL_ALIASES, ()
    )
    """More names of models for `POST /v1/images/...`, for programs with fixed names, such as
    `dall-e-3=sdxl, gpt-image-1=my-dog@best`. Separated by white space or commas."""
    max_event_streams: WholeNumber = variable("DARKROOM_GATEWAY_MAX_EVENT_STREAMS", 2000, ge=1, le=100_000)
    """Open event streams, and logs that are followed; more get `503`. Each takes about 30 kB of memory and a file
    descriptor."""
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = variable("DARKROOM_GATEWAY_LOG_LEVEL", LogLevel.INFO)
    """Level of the gateway's own log. Libraries stay at `INFO` or above, since some print credentials below it."""
    api_keys_dir: str | None = variable(API_KEYS_DIR, None)
    """Folder of API keys, one file for each. Unset: requests need no key."""
    open_access: Switch = variable(OPEN_ACCESS, False)
    """`true`: answer everybody who reaches the gateway, without keys, on an address that others reach too."""
    metrics_port: WholeNumber | None = variable(METRICS_PORT, None, ge=1, le=65_535)
    """Port of `/metrics`, on the same address. Unset: no metrics."""
    root_path: Annotated[str, BeforeValidator(_read_root_path)] = variable(ROOT_PATH, "")
    """Path under which a proxy publishes the gateway, such as `/darkroom`. The proxy may strip it or not."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_host_names)] = variable(ALLOWED_HOSTS, ())
    """Host names that the gateway answers to, separated by commas, without ports. `*.example.org`: every name below
    it; `*`: any. Unset: on loopback without keys the loopback names, otherwise any."""
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_origins)] = variable(CORS_ORIGINS, ())
    """Origins of other sites whose pages may call the gateway, such as `https://studio.example.org`, separated by
    commas. `*`: all, which needs API keys. Unset: none."""
    requests_per_minute: WholeNumber | None = variable(
        "DARKROOM_GATEWAY_REQUESTS_PER_MINUTE", None, ge=1, le=MAX_REQUESTS_PER_MINUTE
    )
    """Requests that one API key may send in a minute, or one address without keys; more get `429`. Each replica of the
    gateway counts by itself, unless a Redis is set. Unset: unlimited."""
    max_queued: WholeNumber | None = variable("DARKROOM_GATEWAY_MAX_QUEUED", None, ge=1, le=MAX_QUEUED)
    """Jobs of the namespace that may wait, queued or suspended; further submissions get `429`. Unset: unlimited."""
    quotas: Annotated[Quotas, NoDecode, BeforeValidator(_read_quotas)] = variable(QUOTAS, Quotas())
    """Path of a YAML or JSON file with the quotas of API keys (docs/operations/limits.md): unfinished jobs, waiting
    jobs, and jobs per day. Unset: none."""
    dataset_retention_hours: WholeNumber | None = variable(DATASET_RETENTION_HOURS, None, ge=1, le=MAX_RETENTION_HOURS)
    """Hours after the last job that uses uploaded photos or start pictures has ended until they are deleted. Unset:
    they are kept."""
    drain_seconds: WholeNumber = variable("DARKROOM_GATEWAY_DRAIN_SECONDS", 0, ge=0, le=60)
    """How long new connections are accepted after SIGTERM: until load balancers have removed the gateway."""
    bounds: ConnectionBounds = Field(default_factory=ConnectionBounds)
    events_poll_seconds: float = 1.0
    """Interval at which a watched job's status is read, however many event streams it has."""

    @model_validator(mode="after")
    def _require_a_safe_combination(self) -> Self:
        """Raises `SettingsError` for settings that contradict each other, or give access to everybody by mistake."""
        if self.api_keys_dir is not None and self.open_access:
            raise SettingsError(f"{API_KEYS_DIR} asks for keys and {OPEN_ACCESS}=true for none: set one of them.")
        if self.api_keys_dir is None and not self.open_access and not is_loopback(self.host):
            raise SettingsError(
                f"DARKROOM_GATEWAY_HOST is {self.host!r}, which others may reach, and it has no API keys. "
                f"Name a folder of keys in {API_KEYS_DIR}, or set {OPEN_ACCESS}=true to answer everybody. "
                "Without either it listens on loopback only, such as 127.0.0.1."
            )
        if ANY_ORIGIN in self.cors_origins and self.api_keys_dir is None:
            raise SettingsError(
                f"{CORS_ORIGINS} is '*', and the gateway has no API keys: every web page that its users open could use "
                f"it. Name the origins, or a folder of keys in {API_KEYS_DIR}."
            )
        if self.quotas and self.api_keys_dir is None:
            raise SettingsError(
                f"{QUOTAS} has quotas of API keys, and the gateway has none: name a folder of keys in {API_KEYS_DIR}, "
                "or limit the queue with DARKROOM_GATEWAY_MAX_QUEUED."
            )
        if self.metrics_port is not None and self.metrics_port == self.port:
            raise SettingsError(f"{METRICS_PORT} and {PORT} are both {self.port}: choose another port for one of them.")
        return self

    def _endpoint_urls(self) -> tuple[str | None, ...]:
        return self.s3_endpoint_url, self.s3_public_endpoint_url

    @property
    def dataset_retention(self) -> timedelta | None:
        """`dataset_retention_hours` as a duration."""
        return None if self.dataset_retention_hours is None else timedelta(hours=self.dataset_retention_hours)

    @property
    def model_upload_bytes(self) -> int:
        """The largest LoRA file that fits into the temporary folder."""
        return min(self.max_model_bytes, self.max_uploads * self.max_upload_bytes)

    @property
    def dataset_policy(self) -> DatasetPolicy:
        return DatasetPolicy(self.s3_bucket, self.dataset_uris)

    @property
    def photo_memory_bytes(self) -> int:
        return self.photo_memory_mib * MIB


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server on `host`. Of names, only localhost is trusted to be loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
