"""What the tests of the local room share: waiting for a condition, an S3 server, and whether a process is there."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.waiting import patience

from darkroom_local.processes.ports import free_ports
from darkroom_local.processes.probes import HttpProbe
from darkroom_local.processes.supervisor import Program, Supervisor
from darkroom_local.s3.storage import BUCKET, Storage

PATIENCE_SECONDS = 60

_wait_until = patience(PATIENCE_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        return "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    """What a condition returns as soon as it is true of something; fails when it never is in time."""
    return _wait_until


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Whether a process exists and is no zombie."""
    return _is_alive


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """The embedded S3 server, with the bucket and the sample photos."""
    folder = tmp_path_factory.mktemp("s3")
    data_dir = str(folder / "data")
    storage = Storage(free_ports(1)[0], "ACCESS", "secret-key")
    program = Program(
        name="s3",
        command=[sys.executable, "-m", "darkroom_local.s3.server", "--data-dir", data_dir, "--port", str(storage.port)],
        ready=HttpProbe(f"{storage.endpoint_url}/.health"),
        environment={"NANIO_ACCESS_KEY": storage.access_key, "NANIO_SECRET_KEY": storage.secret_key},
    )
    supervisor = Supervisor(folder / "logs")
    supervisor.start(program)
    storage.fill()
    yield storage
    supervisor.stop()


@pytest.fixture(scope="module")
def s3(storage: Storage) -> Iterator[Any]:
    """A boto3 client of it; its bucket holds `photo.png`, of ten bytes."""
    with contextlib.closing(storage.client()) as client:
        client.put_object(Bucket=BUCKET, Key="photo.png", Body=b"0123456789", ContentType="image/png")
        yield client
