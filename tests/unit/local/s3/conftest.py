"""The embedded S3 server as a process, and a boto3 client of it."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from darkroom_local.processes.ports import free_ports
from darkroom_local.processes.probes import HttpProbe
from darkroom_local.processes.supervisor import Program, Supervisor
from darkroom_local.s3.storage import BUCKET, Storage


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """The server, with the bucket and the sample photos."""
    folder = tmp_path_factory.mktemp("s3")
    data_dir = str(folder / "data")
    storage = Storage(free_ports(1)[0], "ACCESS", "secret-key")
    program = Program(
        name="s3",
        command=[sys.executable, "-m", "darkroom_local.s3", "--data-dir", data_dir, "--port", str(storage.port)],
        ready=HttpProbe(f"{storage.endpoint_url}/.health"),
        environment={"NANIO_ACCESS_KEY": storage.access_key, "NANIO_SECRET_KEY": storage.secret_key},
    )
    supervisor = Supervisor(folder / "logs")
    supervisor.start(program)
    storage.create_bucket()
    yield storage
    supervisor.stop()


@pytest.fixture(scope="module")
def s3(storage: Storage) -> Iterator[Any]:
    """A boto3 client. The bucket holds `photo.png`, ten bytes long."""
    with contextlib.closing(storage.client()) as client:
        client.put_object(Bucket=BUCKET, Key="photo.png", Body=b"0123456789", ContentType="image/png")
        yield client
