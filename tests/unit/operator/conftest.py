"""One real API server for all tests; a namespace and an operator for each test."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.operator_processes import ApiServer, Namespace, Process, operator_process


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
    """For one test only, without our CRDs."""
    server = ApiServer(tmp_path)
    server.start()
    yield server
    server.process.stop()
    server.http.close()


@pytest.fixture
def namespace(api_server: ApiServer) -> Namespace:
    return api_server.namespace(f"test-{secrets.token_hex(4)}")


@pytest.fixture
def start_operator(namespace: Namespace, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts an operator with additional settings; stops it after the test."""
    started: list[Process] = []

    def start(**settings: str) -> Process:
        process = operator_process(namespace, tmp_path, **settings)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def operator(start_operator: Callable[..., Process]) -> Process:
    return start_operator()
