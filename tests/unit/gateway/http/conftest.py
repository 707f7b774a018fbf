"""Fixtures: a server with low limits, and a raw connection to it."""

from collections.abc import Iterator

import pytest
from support.protocol_server import server
from support.raw_http import Connection


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with server() as (found, _):
        yield found


@pytest.fixture
def connection(port: int) -> Iterator[Connection]:
    with Connection(port) as made:
        yield made
