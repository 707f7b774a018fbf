"""What the gateway is told by its environment. Read once, by main.py; everybody else gets the `Settings`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from darkroom_contract import environment, photos
from darkroom_gateway.errors import SettingsError


class BusyPolicy(StrEnum):
    """What becomes of a request that comes while a job runs."""

    QUEUE = "Queue"
    REJECT = "Reject"


MULTIPART_ALLOWANCE_BYTES = 1024**2
"""Boundaries and headers of the parts, on top of the photos themselves."""

MAX_LINK_SECONDS = 7 * 24 * 3600
"""S3 refuses links that live longer than a week."""


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
    redis_url: str | None = None
    """Unset: live progress comes from the jobs' status alone."""
    link_seconds: int = 3600
    """How long a download link works."""
    max_upload_bytes: int = photos.MAX_DATASET_BYTES + MULTIPART_ALLOWANCE_BYTES
    """Requests with a larger body are refused with 413."""
    busy_policy: BusyPolicy = BusyPolicy.QUEUE
    """Whether requests that come while a job runs are queued or refused."""
    events_poll_seconds: float = 1.0
    """How often a stream of events looks at the job's status."""
    log_level: str = "INFO"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises `SettingsError` for a value that can't be used."""
        return cls(
            host=environ.get("DARKROOM_GATEWAY_HOST") or cls.host,
            port=_integer(environ, "DARKROOM_GATEWAY_PORT", cls.port, 0, 65_535),
            namespace=environ.get("DARKROOM_NAMESPACE") or cls.namespace,
            kubeconfig=environ.get("KUBECONFIG") or None,
            s3_bucket=environ.get(environment.S3_BUCKET) or cls.s3_bucket,
            s3_endpoint_url=environ.get(environment.S3_ENDPOINT_URL) or None,
            s3_public_endpoint_url=environ.get(environment.S3_PUBLIC_ENDPOINT_URL) or None,
            s3_region=environ.get(environment.S3_REGION) or cls.s3_region,
            redis_url=environ.get(environment.REDIS_URL) or None,
            link_seconds=_integer(environ, "DARKROOM_GATEWAY_LINK_SECONDS", cls.link_seconds, 1, MAX_LINK_SECONDS),
            max_upload_bytes=_integer(
                environ, "DARKROOM_GATEWAY_MAX_UPLOAD_BYTES", cls.max_upload_bytes, 1, cls.max_upload_bytes
            ),
            busy_policy=_busy_policy(environ.get("DARKROOM_BUSY_POLICY") or cls.busy_policy),
            log_level=(environ.get("DARKROOM_GATEWAY_LOG_LEVEL") or cls.log_level).upper(),
        )


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
