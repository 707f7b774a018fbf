"""One real API server for all; a namespace and an operator of its own for each test."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.operator_processes import ApiServer, Namespace, Process, operator_process
from support.warm_parent.installation import WarmParent


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path_factory.mktemp("apiserver"))
    server.start()
    server.install_crds()
    yield server
    server.process.stop()
    server.http.close()


@pytest.fixture
def fresh_api_server(tmp_path: Path) -> Iterator[ApiServer]:
    """One for this test alone, without any definition of ours."""
    server = ApiServer(tmp_path)
    server.start()
    yield server
    server.process.stop()
    server.http.close()


@pytest.fixture
def namespace(api_server: ApiServer) -> Namespace:
    return api_server.namespace(f"test-{secrets.token_hex(4)}")


@pytest.fixture
def start_operator(namespace: Namespace, tmp_path: Path, warm_operator: WarmParent) -> Iterator[Callable[..., Process]]:
    """Starts an operator with settings beside the usual ones; stops it after the test.

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
