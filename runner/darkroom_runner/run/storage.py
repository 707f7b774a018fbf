"""Object storage (S3): all reads and writes of the runner. It handles keys and bytes, not their meaning.

botocore retries; nothing here retries again. Failures become `StorageUnavailableError`, except that `read` returns
None for a missing object.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from darkroom_contract.storage.s3_client import MISSING, client_config, error_code, open_client, read_object
from darkroom_runner.errors import StorageUnavailableError
from darkroom_runner.settings import Settings

log = logging.getLogger(__name__)

_OPTIONS: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 4},
    # urllib3 limits every wait of sending by it, too, and weights go to servers whose disk may be busy for a while.
    "connect_timeout": 15,
    "read_timeout": 60,
}

# One request per object. boto3's transfer module requests even small objects by byte range, which some servers reject
# when the range is longer than the object; and no file comes near the 5 GiB limit of a single PUT.
_CHUNK_BYTES = 1024**2


class NoSuchBucketError(StorageUnavailableError):
    """The bucket does not exist."""


class NoSuchObjectError(StorageUnavailableError):
    """The object does not exist, although a record refers to it."""


class ObjectTooLargeError(Exception):
    """The object is larger than the caller allows; nothing was downloaded."""


@dataclass(frozen=True)
class StoredObject:
    """An object in a listing."""

    key: str
    size_bytes: int

    @property
    def name(self) -> str:
        return self.key.rsplit("/", 1)[-1]


class Storage:
    """The deployment's bucket, and read access to other buckets."""

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        config = client_config(settings.s3_addressing_style, **_OPTIONS)
        self._client = open_client(settings.s3_endpoint_url, settings.s3_region, config)

    def read(self, key: str) -> bytes | None:
        """A small object's content, or None if it does not exist."""
        with _mapped(f"read {key}"):
            return read_object(self._client, self.bucket, key)

    def write(self, key: str, body: bytes, content_type: str) -> None:
        with _mapped(f"write {key}"):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is not an error."""
        with _mapped(f"delete {key}"):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def list_folder(self, bucket: str, prefix: str) -> list[StoredObject]:
        """The objects directly under a prefix, sorted by key, without those in subfolders."""
        with _mapped(f"list s3://{bucket}/{prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            found = [StoredObject(each["Key"], each["Size"]) for page in pages for each in page.get("Contents", [])]
        return sorted(found, key=lambda each: each.key)

    def download(self, bucket: str, key: str, path: Path, max_bytes: int | None = None) -> None:
        """Raises `ObjectTooLargeError` before anything is downloaded."""
        with _mapped(f"download s3://{bucket}/{key}"):
            found = self._client.get_object(Bucket=bucket, Key=key)
            body = found["Body"]
            if max_bytes is not None and found["ContentLength"] > max_bytes:
                body.close()
                raise ObjectTooLargeError(f"s3://{bucket}/{key} has {found['ContentLength']} bytes")
            with path.open("wb") as file:
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    file.write(chunk)

    def upload(self, key: str, path: Path, content_type: str) -> str:
        """Upload a file with its SHA-256 in the object metadata; returns the SHA-256."""
        digest = sha256_of(path)
        with _mapped(f"upload {key}"), path.open("rb") as file:
            self._client.put_object(
                Bucket=self.bucket, Key=key, Body=file, ContentType=content_type, Metadata={"sha256": digest}
            )
        return digest


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _mapped(action: str) -> Iterator[None]:
    """Translate boto3's errors. Their messages contain endpoint, bucket and key, never credentials."""
    try:
        yield
    except ClientError as error:
        raise _kind(error_code(error))(
            f"Object storage refused to {action}: {error}. Check the endpoint, bucket and credentials."
        ) from error
    except BotoCoreError as error:
        raise StorageUnavailableError(
            f"Object storage failed to {action}: {error}. Check that it is reachable."
        ) from error


def _kind(code: str) -> type[StorageUnavailableError]:
    if code == "NoSuchBucket":
        return NoSuchBucketError
    return NoSuchObjectError if code in MISSING else StorageUnavailableError
