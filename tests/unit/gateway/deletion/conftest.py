"""Fixture: gateways for an isolated namespace."""

from typing import Any

import pytest
from support.isolated_namespace import IsolatedNamespace


@pytest.fixture
def gateway_of(start_gateway: Any, environment: dict[str, str]) -> Any:
    """Starts a gateway for an isolated namespace."""

    def start(isolated: IsolatedNamespace, **changes: str) -> Any:
        return start_gateway({**environment, "DARKROOM_NAMESPACE": isolated.namespace, **changes})

    return start
