"""One real API server for all tests; a namespace and an operator for each test."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.kube_api import ApiServer, install_crds
from support.operator_processes import Namespace, operator_process
from support.server_process import Process
from support.warm_parent.installation import WarmParent

TOKEN = "a-token"
"""Also in the kubeconfigs that tests write."""


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory, warm_local: WarmParent) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("apiserver")
    with ApiServer(folder, token=TOKEN, python=warm_local.forking_python) as server:
        install_crds(server.http)
        yield server


@pytest.fixture
def fresh_api_server(tmp_path: Path, warm_local: WarmParent) -> Iterator[ApiServer]:
    """For one test only, without our CRDs."""
    with ApiServer(tmp_path, token=TOKEN, python=warm_local.forking_python) as server:
        yield server


@pytest.fixture
def namespace(api_server: ApiServer) -> Namespace:
    return Namespace.create(api_server, f"test-{secrets.token_hex(4)}")


@pytest.fixture
def start_operator(namespace: Namespace, tmp_path: Path, warm_operator: WarmParent) -> Iterator[Callable[..., Process]]:
    """Starts an operator with additional settings; stops it after the test.

    It is a fork, or a new process of the interpreter given.
    """
    started: list[Process] = []

    def start(python: Path = warm_operator.forking_python, **settings: str) -> Process:
        process = operator_process(namespace, tmp_path, python, **settings)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def operator(start_operator: Callable[..., Process]) -> Process:
    return start_operator()
