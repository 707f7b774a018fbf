"""What the gateway is told by its environment. Read once, by main.py; everybody else gets the `Settings`."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from darkroom_contract import environment, photos
from darkroom_contract.s3 import AddressingStyle, read_addressing_style, read_endpoint_url, require_host_for
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.http.connection_bounds import ConnectionBounds
from darkroom_gateway.http.host_names import read_host_names
from darkroom_gateway.http.root_path import read_root_path


class BusyPolicy(StrEnum):
    """What becomes of a request that comes while a job runs."""

    QUEUE = "Queue"
    REJECT = "Reject"


MULTIPART_ALLOWANCE_BYTES = 1024**2
"""Boundaries and headers of the parts, on top of the photos themselves."""

MAX_LINK_SECONDS = 7 * 24 * 3600
"""S3 refuses links that live longer than a week."""


MAX_DRAIN_SECONDS = 60

MAX_EVENT_STREAMS = 100_000
MAX_RETENTION_HOURS = 10 * 365 * 24

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
"""Not the lower ones that Python has: there the server prints whole requests, keys included."""


PORT = "DARKROOM_GATEWAY_PORT"
METRICS_PORT = "DARKROOM_GATEWAY_METRICS_PORT"
API_KEYS_DIR = "DARKROOM_GATEWAY_API_KEYS_DIR"
ROOT_PATH = "DARKROOM_GATEWAY_ROOT_PATH"
DATASET_RETENTION_HOURS = "DARKROOM_GATEWAY_DATASET_RETENTION_HOURS"
OPEN_ACCESS = "DARKROOM_GATEWAY_OPEN_ACCESS"
ALLOWED_HOSTS = "DARKROOM_GATEWAY_ALLOWED_HOSTS"

BOUNDS = {
    "max_connections": ("DARKROOM_GATEWAY_MAX_CONNECTIONS", 1, 65_536),
    "header_seconds": ("DARKROOM_GATEWAY_HEADER_SECONDS", 1, 600),
    "max_header_bytes": ("DARKROOM_GATEWAY_MAX_HEADER_BYTES", 1024, 256 * 1024),
    "max_headers": ("DARKROOM_GATEWAY_MAX_HEADERS", 10, 1000),
    "body_seconds": ("DARKROOM_GATEWAY_BODY_SECONDS", 1, 3600),
    "min_body_bytes_per_second": ("DARKROOM_GATEWAY_MIN_BODY_BYTES_PER_SECOND", 1, 1024**3),
    "keep_alive_seconds": ("DARKROOM_GATEWAY_KEEP_ALIVE_SECONDS", 1, 3600),
    "write_seconds": ("DARKROOM_GATEWAY_WRITE_SECONDS", 1, 3600),
}
"""Of `ConnectionBounds`: field, variable, least and most."""

MIB = 1024**2


@dataclass(frozen=True)
class Settings:
    """One gateway. Credentials are no part of it: boto3 and the kubeconfig find their own."""

    host: str = "127.0.0.1"
    port: int = 8000
    namespace: str = "default"
    """Where jobs are created and looked up; the gateway sees no other namespace."""
    kubeconfig: str | None = None
    """Path of a kubeconfig. Unset: the pod's service account, and outside of a pod ~/.kube/config."""
    s3_bucket: str = "darkroom"
    s3_endpoint_url: str | None = None
    s3_public_endpoint_url: str | None = None
    """The address for which links are signed. The endpoint itself when unset."""
    s3_region: str = "us-east-1"
    s3_addressing_style: AddressingStyle = AddressingStyle.PATH
    """Where the bucket stands in requests and in links."""
    redis_url: str | None = field(default=None, repr=False)
    """It may hold a password. Unset: live progress comes from the jobs' status alone."""
    model_root: Path | None = None
    """The runners' folder of base models, where it is mounted here too: names that are not in it are refused. Unset:
    such a job fails when the operator or its run looks."""
    link_seconds: int = 3600
    """How long a download link works."""
    max_upload_bytes: int = photos.MAX_DATASET_BYTES + MULTIPART_ALLOWANCE_BYTES
    """Requests with a larger body are refused with 413."""
    max_uploads: int = 8
    """Requests whose photos are taken at once; more are refused with 503. Each may spool `max_upload_bytes` to /tmp."""
    decoders: int = 2
    """Processes that decode photos. One upload uses all but one of them."""
    photo_memory_bytes: int = 1024 * MIB
    """What decoding one photo may take. Measured: 100 megapixels of JPEG, PNG or HEIC, 75 of AVIF, 60 of WebP fit."""
    photo_seconds: int = 20
    """How long decoding one photo may take; one of 100 megapixels takes 0.3 to 2 s on an idle core."""
    busy_policy: BusyPolicy = BusyPolicy.QUEUE
    """Whether requests that come while a job runs are queued or refused."""
    events_poll_seconds: float = 1.0
    """How often a watched job's status is looked at, however many streams of its events there are."""
    max_event_streams: int = 2000
    """Streams of events that are open at once; more are refused with 503."""
    log_level: str = "INFO"
    api_keys_dir: str | None = None
    """Folder of the API keys that requests must bring. Unset: they need none."""
    open_access: bool = False
    """Answer everybody who can reach the gateway, on purpose."""
    metrics_port: int | None = None
    """Where metrics are served, on the same host. Unset: nowhere."""
    root_path: str = ""
    """The path under which a proxy publishes the gateway, such as /darkroom; the proxy may strip it or not."""
    bounds: ConnectionBounds = field(default_factory=ConnectionBounds)
    """What a client may cost before its request is looked at."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which the gateway answers; `*`: any. Empty: on loopback without keys its own, otherwise any."""
    dataset_retention_hours: int | None = None
    """From the end of a training until photos that came through a gateway are removed. Unset: they are kept."""
    drain_seconds: int = 0
    """How long new connections are still taken after SIGTERM: as long as others may take to hear that it ends."""

    def __post_init__(self) -> None:
        """Raises `SettingsError` for settings that contradict each other, or would leave the door open by mistake."""
        if self.api_keys_dir is not None and self.open_access:
            raise SettingsError(f"{API_KEYS_DIR} asks for keys and {OPEN_ACCESS}=true for none: set one of them.")
        if self.api_keys_dir is None and not self.open_access and not is_loopback(self.host):
            raise SettingsError(
                f"DARKROOM_GATEWAY_HOST is {self.host!r}, where others may reach the gateway, and it has no API keys. "
                f"Name a folder of keys in {API_KEYS_DIR}, or set {OPEN_ACCESS}=true to "
                "answer everybody. Without either it listens on loopback only, such as 127.0.0.1."
            )
        if self.metrics_port is not None and self.metrics_port == self.port:
            raise SettingsError(f"{METRICS_PORT} and {PORT} are both {self.port}: choose another for one.")

    @property
    def dataset_retention(self) -> timedelta | None:
        """`dataset_retention_hours` as a duration."""
        return None if self.dataset_retention_hours is None else timedelta(hours=self.dataset_retention_hours)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises `SettingsError` for a value that can't be used."""
        return cls(
            host=environ.get("DARKROOM_GATEWAY_HOST") or cls.host,
            port=_integer(environ, PORT, cls.port, 0, 65_535),
            namespace=environ.get("DARKROOM_NAMESPACE") or cls.namespace,
            kubeconfig=environ.get("KUBECONFIG") or None,
            **_s3(environ),
            redis_url=environ.get(environment.REDIS_URL) or None,
            model_root=Path(root) if (root := environ.get(environment.MODEL_ROOT)) else None,
            link_seconds=_integer(environ, "DARKROOM_GATEWAY_LINK_SECONDS", cls.link_seconds, 1, MAX_LINK_SECONDS),
            max_upload_bytes=_integer(
                environ, "DARKROOM_GATEWAY_MAX_UPLOAD_BYTES", cls.max_upload_bytes, 1, cls.max_upload_bytes
            ),
            **_photos(environ),
            busy_policy=_busy_policy(environ.get("DARKROOM_BUSY_POLICY") or cls.busy_policy),
            max_event_streams=_integer(
                environ, "DARKROOM_GATEWAY_MAX_EVENT_STREAMS", cls.max_event_streams, 1, MAX_EVENT_STREAMS
            ),
            log_level=_log_level(environ),
            api_keys_dir=environ.get(API_KEYS_DIR) or None,
            open_access=_switch(environ, OPEN_ACCESS),
            metrics_port=_port(environ, METRICS_PORT),
            root_path=_root_path(environ),
            bounds=_bounds(environ),
            allowed_hosts=_allowed_hosts(environ),
            dataset_retention_hours=_retention_hours(environ),
            drain_seconds=_integer(environ, "DARKROOM_GATEWAY_DRAIN_SECONDS", cls.drain_seconds, 0, MAX_DRAIN_SECONDS),
        )


def _s3(environ: Mapping[str, str]) -> dict[str, Any]:
    bucket = environ.get(environment.S3_BUCKET) or Settings.s3_bucket
    names = (environment.S3_ENDPOINT_URL, environment.S3_PUBLIC_ENDPOINT_URL)
    try:
        endpoint, public = (read_endpoint_url(name, environ.get(name)) for name in names)
        style = read_addressing_style(environ.get(environment.S3_ADDRESSING_STYLE))
        require_host_for(style, bucket, endpoint, public)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    return {
        "s3_bucket": bucket,
        "s3_endpoint_url": endpoint,
        "s3_public_endpoint_url": public,
        "s3_region": environ.get(environment.S3_REGION) or Settings.s3_region,
        "s3_addressing_style": style,
    }


def _photos(environ: Mapping[str, str]) -> dict[str, Any]:
    memory = Settings.photo_memory_bytes // MIB
    return {
        "max_uploads": _integer(environ, "DARKROOM_GATEWAY_MAX_UPLOADS", Settings.max_uploads, 1, 100),
        "decoders": _integer(environ, "DARKROOM_GATEWAY_DECODERS", Settings.decoders, 1, 32),
        "photo_memory_bytes": MIB * _integer(environ, "DARKROOM_GATEWAY_PHOTO_MEMORY_MIB", memory, 64, 16_384),
        "photo_seconds": _integer(environ, "DARKROOM_GATEWAY_PHOTO_SECONDS", Settings.photo_seconds, 1, 600),
    }


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there. A name other than localhost is not trusted to mean it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _bounds(environ: Mapping[str, str]) -> ConnectionBounds:
    default = ConnectionBounds()
    return ConnectionBounds(
        **{
            field_: _integer(environ, name, round(getattr(default, field_)), least, most)
            for field_, (name, least, most) in BOUNDS.items()
        }
    )


def _allowed_hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    try:
        return read_host_names(environ.get(ALLOWED_HOSTS) or "")
    except ValueError as error:
        raise SettingsError(f"{ALLOWED_HOSTS}: {error}") from None


def _root_path(environ: Mapping[str, str]) -> str:
    try:
        return read_root_path(environ.get(ROOT_PATH))
    except ValueError as error:
        raise SettingsError(f"{ROOT_PATH} is {error}") from None


def _log_level(environ: Mapping[str, str]) -> str:
    level = (environ.get("DARKROOM_GATEWAY_LOG_LEVEL") or Settings.log_level).upper()
    if level not in LOG_LEVELS:
        raise SettingsError(f"DARKROOM_GATEWAY_LOG_LEVEL is {level!r}: use {', '.join(LOG_LEVELS[:-1])} or ERROR")
    return level


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name) or "false"
    if text not in ("true", "false"):
        raise SettingsError(f"{name} is {text!r}: use true or false")
    return text == "true"


def _port(environ: Mapping[str, str], name: str) -> int | None:
    return _integer(environ, name, 0, 1, 65_535) if environ.get(name) else None


def _retention_hours(environ: Mapping[str, str]) -> int | None:
    """An hour at least: a slow upload is stored photo by photo, before its job is created."""
    if not environ.get(DATASET_RETENTION_HOURS):
        return None
    return _integer(environ, DATASET_RETENTION_HOURS, 0, 1, MAX_RETENTION_HOURS)


def _busy_policy(text: str) -> BusyPolicy:
    try:
        return BusyPolicy(text)
    except ValueError:
        raise SettingsError(f"DARKROOM_BUSY_POLICY is {text!r}: use {' or '.join(BusyPolicy)}") from None


def _integer(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise SettingsError(f"{name} is {text!r}, which is no whole number from {least} to {most}")
    return int(text)
