"""The door to object storage: photos in, small records out, and signed links for everything else.

Synchronous, on boto3: called from worker threads, never from the event loop. Links are signed by links.py, for the
address under which people reach the storage.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from darkroom_gateway.errors import StorageUnavailableError
from darkroom_gateway.links import Link, LinkSigner
from darkroom_gateway.settings import Settings

log = logging.getLogger(__name__)

_CONFIG = Config(
    # boto3 would sign with SigV2 for some custom endpoints.
    signature_version="s3v4",
    retries={"mode": "standard", "total_max_attempts": 2},
    connect_timeout=3,
    read_timeout=30,
    max_pool_connections=40,
    # Checksums in trailers are AWS's own; other servers take them for content.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


class Storage:
    """The bucket of the deployment."""

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        config = _CONFIG.merge(Config(s3={"addressing_style": settings.s3_addressing_style.value}))
        endpoint, region = settings.s3_endpoint_url, settings.s3_region
        self._client = boto3.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)
        public_endpoint = settings.s3_public_endpoint_url or endpoint
        self._signer = LinkSigner(boto3.Session(), public_endpoint, region, config, settings.link_seconds)

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

    def write(self, key: str, body: bytes, content_type: str) -> None:
        """Store a small object."""
        with _mapped(f"write {key}"):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def delete_below(self, prefix: str, *, keep: Collection[str] = (), suffix: str = "") -> int:
        """Remove every object under a prefix whose key ends in `suffix`, but for those to keep; returns how many.

        `prefix` ends in a slash.
        """
        return self._delete_listed(lambda: self.first_keys(prefix, keep=keep, suffix=suffix))

    def delete_folder(self, prefix: str) -> int:
        """Remove the objects right under a prefix, not those in folders below it; returns how many."""
        return self._delete_listed(lambda: [key for key, _ in self._first_entries(prefix, Delimiter="/")])

    def _delete_listed(self, first_keys: Callable[[], list[str]]) -> int:
        """Each listing begins anew: what is deleted while a listing is continued makes some servers skip keys."""
        deleted: set[str] = set()
        while keys := first_keys():
            if again := deleted.intersection(keys):
                raise StorageUnavailableError(f"Object storage still lists {min(again)}, which was deleted.")
            self.delete(keys)
            deleted.update(keys)
        return len(deleted)

    def first_keys(self, prefix: str, *, keep: Collection[str] = (), suffix: str = "") -> list[str]:
        """Keys under a prefix that end in `suffix` and are not to keep: empty only when there is none."""
        after = ""
        while True:
            entries = self._first_entries(prefix, StartAfter=after) if after else self._first_entries(prefix)
            found = [key for key, _ in entries if key.endswith(suffix) and key not in keep]
            if found or not entries:
                return found
            after = entries[-1][0]

    def newest(self, prefix: str) -> datetime | None:
        """When the newest of the objects right under a prefix was stored, by storage's clock; None without any."""
        return max((modified for _, modified in self._first_entries(prefix, Delimiter="/")), default=None)

    def _first_entries(self, prefix: str, **options: str) -> list[tuple[str, datetime]]:
        """Keys and times of storing of the first thousand objects under a prefix."""
        with _mapped(f"list {prefix}"):
            page = self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **options)
        return [(each["Key"], each["LastModified"]) for each in page.get("Contents", [])]

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
        with _mapped(f"sign a link for {key}"):
            return self._signer.sign(parameters)

    def check(self) -> None:
        """Raises `StorageUnavailableError` unless the bucket can be listed."""
        with _mapped(f"list the bucket {self.bucket}"):
            self._client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)


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
