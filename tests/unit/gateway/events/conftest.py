"""Fixtures: an event hub in the test process, with a Valkey."""

from collections.abc import AsyncIterator, Iterator

import pytest
from support.event_watchers import HubHarness, running_hub
from support.valkey import Valkey


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    shared_valkey.client.flushall()
    return shared_valkey


@pytest.fixture
async def harness(valkey: Valkey) -> AsyncIterator[HubHarness]:
    async with running_hub(valkey) as harness:
        yield harness
