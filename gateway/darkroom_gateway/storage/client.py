"""Object storage client: stores photos and LoRA files, reads and writes small records, and presigns links for the rest.

Synchronous, on boto3. Call it from worker threads through backends/calls.py, never from the event loop. Only `link`
does no I/O (storage/presigned_links.py) and may be called anywhere. Links use the public endpoint of the storage.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from darkroom_contract.storage.s3_client import MISSING, client_config, error_code, open_client, read_object
from darkroom_gateway.backends.calls import STORAGE_CALLS, UPLOAD_CALLS
from darkroom_gateway.backends.deadlines import (
    CREDENTIALS_SECONDS,
    STORAGE_CONNECT_SECONDS,
    STORAGE_SILENCE_SECONDS,
    UPLOAD_SILENCE_SECONDS,
)
from darkroom_gateway.errors import StorageUnavailableError
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.download_headers import OPAQUE, response_parameters
from darkroom_gateway.storage.presigned_links import Link, LinkSigner

log = logging.getLogger(__name__)

FORBIDDEN = frozenset({"403", "AccessDenied", "Forbidden"})
"""Error codes of an object that the credentials may not read. S3 also answers so for a missing one, without the right
to list its bucket."""

DOWNLOAD_BLOCK_BYTES = 1024**2

_OPTIONS: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 2},
    "connect_timeout": STORAGE_CONNECT_SECONDS,
    "read_timeout": STORAGE_SILENCE_SECONDS,
    # As many as may be in use at once, /readyz's among them: urllib3 makes more, and throws each away after its use.
    "max_pool_connections": STORAGE_CALLS + 1,
}

_UPLOADS = Config(
    # urllib3 also applies the connect timeout to sending: a server whose disk is busy for a moment would otherwise
    # fail the upload after the short timeout of a connection.
    connect_timeout=UPLOAD_SILENCE_SECONDS,
    read_timeout=UPLOAD_SILENCE_SECONDS,
    max_pool_connections=UPLOAD_CALLS,
)
"""Uploads have their own client, because timeouts are set per client."""


class ObjectStorage:
    """The bucket of the deployment."""

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        config = client_config(settings.s3_addressing_style, **_OPTIONS)
        endpoint, region = settings.s3_endpoint_url, settings.s3_region
        session = boto3.Session()
        self._client = open_client(endpoint, region, config, session)
        self._uploads = open_client(endpoint, region, config.merge(_UPLOADS), session)
        public_endpoint = settings.s3_public_endpoint_url or endpoint
        self._signer = LinkSigner(boto3.Session(), public_endpoint, region, config, settings.link_seconds)

        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Renew the credentials that sign links until `stop`. Waits up to `CREDENTIALS_SECONDS` for the first ones."""
        first_done = asyncio.Event()
        self._keeper = asyncio.create_task(self._signer.keep_renewed(first_done=first_done))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CREDENTIALS_SECONDS):
                await first_done.wait()

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()

    def close(self) -> None:
        for each in (self._client, self._uploads, self._signer):
            each.close()

    def link_origin(self) -> str:
        """The origin of links, such as `https://minio.example.com`: pages allow pictures from it. Does no I/O."""
        return self._signer.origin(self.bucket)

    def put(self, key: str, body: IO[bytes], content_type: str) -> None:
        with _mapped(f"store {key}"):
            self._uploads.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def size_of(self, bucket: str, key: str) -> int | None:
        """The size of an object of any bucket in bytes; None if it does not exist or may not be read."""
        with _mapped(f"look up s3://{bucket}/{key}"):
            try:
                size: int = self._client.head_object(Bucket=bucket, Key=key)["ContentLength"]
            except ClientError as error:
                if error_code(error) in MISSING | FORBIDDEN:
                    return None
                raise
        return size

    def download(self, bucket: str, key: str, file: IO[bytes], max_bytes: int) -> None:
        """Append an object of any bucket to a file. Raises `StorageUnavailableError`, also beyond `max_bytes`."""
        with _mapped(f"read s3://{bucket}/{key}"):
            body = self._uploads.get_object(Bucket=bucket, Key=key)["Body"]
            with contextlib.closing(body):
                for block in body.iter_chunks(DOWNLOAD_BLOCK_BYTES):
                    max_bytes -= len(block)
                    if max_bytes < 0:
                        raise StorageUnavailableError(f"s3://{bucket}/{key} has grown during its download. Try again.")
                    file.write(block)

    def sizes(self, prefix: str, *, recursive: bool = False) -> dict[str, int]:
        """The sizes of the first thousand objects under a prefix, by key; without those in subfolders by default."""
        options = {} if recursive else {"Delimiter": "/"}
        with _mapped(f"list {prefix}"):
            page = self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **options)
        return {each["Key"]: each["Size"] for each in page.get("Contents", [])}

    def delete(self, keys: list[str]) -> None:
        """One by one, because not every S3 server supports the checksum of bulk deletion."""
        for key in keys:
            with _mapped(f"delete {key}"):
                self._client.delete_object(Bucket=self.bucket, Key=key)

    def write(self, key: str, body: bytes, content_type: str) -> None:
        """Store a small object."""
        with _mapped(f"write {key}"):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def delete_below(self, prefix: str, *, keep: Collection[str] = (), suffix: str = "") -> int:
        """Delete all objects under a prefix whose keys end in `suffix`, except `keep`. Returns their number.

        `prefix` ends with a slash.
        """
        return self._delete_listed(lambda: self.first_keys(prefix, keep=keep, suffix=suffix))

    def delete_folder(self, prefix: str) -> int:
        """Delete the objects directly under a prefix, without subfolders. Returns their number."""
        return self._delete_listed(lambda: [key for key, _ in self._first_entries(prefix, Delimiter="/")])

    def _delete_listed(self, first_keys: Callable[[], list[str]]) -> int:
        """Lists from the start each time, because some servers skip keys when deleting between pages."""
        deleted: set[str] = set()
        while keys := first_keys():
            if again := deleted.intersection(keys):
                raise StorageUnavailableError(f"Object storage still lists {min(again)} after its deletion.")
            self.delete(keys)
            deleted.update(keys)
        return len(deleted)

    def first_keys(self, prefix: str, *, keep: Collection[str] = (), suffix: str = "") -> list[str]:
        """Some keys under a prefix that end in `suffix`, except `keep`; empty only when there are none."""
        after = ""
        while True:
            entries = self._first_entries(prefix, StartAfter=after) if after else self._first_entries(prefix)
            found = [key for key, _ in entries if key.endswith(suffix) and key not in keep]
            if found or not entries:
                return found
            after = entries[-1][0]

    def newest(self, prefix: str) -> datetime | None:
        """When the newest object directly under a prefix was stored, by the server's clock; None without objects."""
        return max((modified for _, modified in self._first_entries(prefix, Delimiter="/")), default=None)

    def _first_entries(self, prefix: str, **options: str) -> list[tuple[str, datetime]]:
        """Keys and modification times of the first thousand objects under a prefix."""
        with _mapped(f"list {prefix}"):
            page = self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **options)
        return [(each["Key"], each["LastModified"]) for each in page.get("Contents", [])]

    def read(self, key: str) -> bytes | None:
        """A small object, or None when the key does not exist."""
        with _mapped(f"read {key}"):
            return read_object(self._client, self.bucket, key)

    def etag(self, key: str) -> str | None:
        """Differs between the versions of an object. None when the key does not exist."""
        head = self._head(key)
        return None if head is None else str(head["ETag"])

    def media_type(self, key: str) -> str | None:
        """The media type under which an object was stored, or None when the key does not exist."""
        head = self._head(key)
        return None if head is None else str(head.get("ContentType", OPAQUE))

    def _head(self, key: str) -> dict[str, Any] | None:
        with _mapped(f"look up {key}"):
            try:
                head: dict[str, Any] = self._client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
        return head

    def list_folders(self, prefix: str, limit: int) -> list[str]:
        """The names of the first `limit` folders directly under a prefix, in order."""
        with _mapped(f"list {prefix}"):
            paginator = self._client.get_paginator("list_objects_v2")
            pages = paginator.paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/", PaginationConfig={"MaxItems": limit}
            )
            folders = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
        return [folder.removeprefix(prefix).rstrip("/") for folder in folders[:limit]]

    def link(self, key: str, content_type: str) -> Link:
        """A link that downloads an object under its file name, with a signed media type."""
        parameters = {"Bucket": self.bucket, "Key": key, **response_parameters(key, content_type)}
        with _mapped(f"sign a link for {key}"):
            return self._signer.sign(parameters)

    def upload_link(self, key: str, size_bytes: int) -> Link:
        """A link that stores an object of exactly this size: the length of the body is a part of the signature."""
        with _mapped(f"sign a link for {key}"):
            return self._signer.sign({"Bucket": self.bucket, "Key": key, "ContentLength": size_bytes}, "put_object")

    def check(self) -> None:
        """Raises `StorageUnavailableError` unless the bucket can be listed."""
        with _mapped(f"list the bucket {self.bucket}"):
            self._client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)


@contextmanager
def _mapped(action: str) -> Iterator[None]:
    """Raises `StorageUnavailableError` for errors of boto3. Endpoints appear in the log only."""
    try:
        yield
    except ClientError as error:
        log.error("object storage refused to %s: %s", action, error)
        raise StorageUnavailableError(
            f"Object storage refused to {action} ({error_code(error)}). Try again shortly."
        ) from error
    except BotoCoreError as error:
        log.error("object storage failed to %s: %s", action, error)
        raise StorageUnavailableError(
            f"Object storage failed to {action}: it can't be reached. Try again shortly."
        ) from error
