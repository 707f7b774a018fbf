"""The door to object storage: photos in, small records out, and signed links for everything else.

Synchronous, on boto3: called from worker threads, never from the event loop. Links are signed by a client of their
own, for the address under which people reach the storage; signing asks nobody and takes no time.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from darkroom_gateway.errors import StorageUnavailableError
from darkroom_gateway.settings import Settings

log = logging.getLogger(__name__)

_CONFIG = Config(
    # boto3 would sign with SigV2 for some custom endpoints, and name buckets in the host.
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    retries={"mode": "standard", "total_max_attempts": 2},
    connect_timeout=3,
    read_timeout=30,
    max_pool_connections=40,
    # Checksums in trailers are AWS's own; other servers take them for content.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


@dataclass(frozen=True)
class Link:
    """A signed address that works until `expires`. Made on demand, never stored."""

    url: str
    expires: datetime


class Storage:
    """The bucket of the deployment."""

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        self._link_seconds = settings.link_seconds
        self._client = _client(settings, settings.s3_endpoint_url)
        self._signer = _client(settings, settings.s3_public_endpoint_url or settings.s3_endpoint_url)

    def close(self) -> None:
        self._client.close()
        self._signer.close()

    def put(self, key: str, body: IO[bytes], content_type: str) -> None:
        with _mapped(f"store {key}"):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def delete(self, keys: list[str]) -> None:
        """One by one: bulk deletion needs a checksum that not every S3 server accepts."""
        for key in keys:
            with _mapped(f"delete {key}"):
                self._client.delete_object(Bucket=self.bucket, Key=key)

    def read(self, key: str) -> bytes | None:
        """A small object, or None when there is none under that key."""
        with _mapped(f"read {key}"):
            try:
                body: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
            return body

    def list_folders(self, prefix: str, limit: int) -> list[str]:
        """The names of the first `limit` folders right under a prefix, in order."""
        with _mapped(f"list {prefix}"):
            paginator = self._client.get_paginator("list_objects_v2")
            pages = paginator.paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/", PaginationConfig={"MaxItems": limit}
            )
            folders = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
        return [folder.removeprefix(prefix).rstrip("/") for folder in folders[:limit]]

    def link(self, key: str, content_type: str) -> Link:
        """A link that downloads an object under its own file name."""
        name = key.rsplit("/", 1)[-1]
        parameters = {
            "Bucket": self.bucket,
            "Key": key,
            "ResponseContentType": content_type,
            "ResponseContentDisposition": f'inline; filename="{name}"',
        }
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=self._link_seconds)
        with _mapped(f"sign a link for {key}"):
            url = self._signer.generate_presigned_url("get_object", Params=parameters, ExpiresIn=self._link_seconds)
        return Link(url, expires)

    def check(self) -> None:
        """Raises `StorageUnavailableError` unless the bucket can be listed."""
        with _mapped(f"list the bucket {self.bucket}"):
            self._client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)


def _client(settings: Settings, endpoint_url: str | None) -> Any:
    return boto3.client("s3", endpoint_url=endpoint_url, region_name=settings.s3_region, config=_CONFIG)


@contextmanager
def _mapped(action: str) -> Iterator[None]:
    """Errors of boto3, as ours. Addresses stay in the log: a person outside has no use for them."""
    try:
        yield
    except ClientError as error:
        log.error("object storage refused to %s: %s", action, error)
        raise StorageUnavailableError(
            f"Object storage refused to {action} ({_code(error)}). Try again shortly."
        ) from error
    except BotoCoreError as error:
        log.error("object storage failed to %s: %s", action, error)
        raise StorageUnavailableError(
            f"Object storage failed to {action}: it can't be reached. Try again shortly."
        ) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
