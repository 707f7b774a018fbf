"""The gateway's probe timeouts fit its response times: a probe that times out first would not name the cause."""

from typing import Any

import pytest
from support.chart import only_container, rendered

from darkroom_gateway.backends.deadlines import READY_SECONDS


@pytest.fixture
def container() -> dict[str, Any]:
    return only_container(rendered("default").deployment("gateway")["spec"]["template"])


def test_readiness_timeout_is_between_response_time_and_period(
    container: dict[str, Any],
) -> None:
    probe = container["readinessProbe"]
    assert READY_SECONDS < probe["timeoutSeconds"] <= probe["periodSeconds"]


def test_storage_outage_does_not_make_gateways_unready(container: dict[str, Any]) -> None:
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz?tolerate=storage"


def test_liveness_checks_only_the_process(container: dict[str, Any]) -> None:
    assert {container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe")} == {"/healthz"}
