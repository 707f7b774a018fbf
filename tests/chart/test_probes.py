"""The gateway's probes fit what it promises: a probe that times out first would name nothing."""

from typing import Any

import pytest
from support.chart import only_container, rendered

from darkroom_gateway.backends.deadlines import READY_SECONDS


@pytest.fixture
def container() -> dict[str, Any]:
    return only_container(rendered("default").deployment("gateway")["spec"]["template"])


def test_readiness_waits_longer_than_the_answer_takes_and_no_longer_than_until_the_next(
    container: dict[str, Any],
) -> None:
    probe = container["readinessProbe"]
    assert READY_SECONDS < probe["timeoutSeconds"] <= probe["periodSeconds"]


def test_an_outage_of_object_storage_takes_no_gateway_out_of_its_service(container: dict[str, Any]) -> None:
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz?tolerate=storage"


def test_liveness_asks_for_the_process_alone(container: dict[str, Any]) -> None:
    assert {container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe")} == {"/healthz"}
