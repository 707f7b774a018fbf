"""The embedded S3 server as a process, and a boto3 client of it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from support.s3_server import S3Server
from support.warm_parent.installation import WarmParent

from darkroom_local.s3.storage import BUCKET, Storage


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, warm_local: WarmParent) -> Iterator[Storage]:
    """The server, with the bucket and the sample photos."""
    folder, python = tmp_path_factory.mktemp("s3"), warm_local.forking_python
    with S3Server(folder, creates_bucket=False, python=python) as server:
        storage = Storage(server.port, *server.credentials.values())
        storage.create_bucket()
        yield storage


@pytest.fixture(scope="module")
def s3(storage: Storage) -> Iterator[Any]:
    """A boto3 client. The bucket holds `photo.png`, ten bytes long."""
    with contextlib.closing(storage.client()) as client:
        client.put_object(Bucket=BUCKET, Key="photo.png", Body=b"0123456789", ContentType="image/png")
        yield client
