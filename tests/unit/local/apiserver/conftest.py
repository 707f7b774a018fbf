"""The embedded API server as a process that tests kill and restart."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.kube_api import Api, ApiServer
from support.warm_parent.installation import WarmParent


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, warm_local: WarmParent) -> Iterator[ApiServer]:
    """For tests that do not change it."""
    started = ApiServer(tmp_path_factory.mktemp("apiserver"), python=warm_local.forking_python)
    started.start()
    yield started
    started.stop()
    assert "Traceback" not in started.log()


@pytest.fixture
def server(tmp_path: Path, warm_local: WarmParent) -> Iterator[ApiServer]:
    started = ApiServer(tmp_path, python=warm_local.forking_python)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def connect() -> Iterator[Callable[[ApiServer], Api]]:
    """Connects to a server, with new connections."""
    opened: list[Api] = []

    def to(server: ApiServer) -> Api:
        opened.append(Api(server.kubeconfig, "default"))
        return opened[-1]

    yield to
    for each in opened:
        each.http.close()
