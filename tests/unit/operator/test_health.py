"""`/healthz`, `/readyz` and `/metrics` over HTTP: well as long as nobody complains."""

from collections.abc import Sequence
from typing import cast

import httpx
import pytest
from support.simulated_api import SimulatedApi, SimulatedDoor
from support.simulated_operator import SimulatedOperator

from darkroom_local.processes.ports import free_ports
from darkroom_operator.cache import Cache
from darkroom_operator.cluster import Cluster
from darkroom_operator.health import Check, Health
from darkroom_operator.metrics import Metrics
from darkroom_operator.resync import Resync
from darkroom_operator.watches import Watches


async def ask(*checks: Check, ready: Sequence[Check] = (), path: str = "/healthz") -> httpx.Response:
    [port] = free_ports(1)
    metrics = Metrics()
    metrics.count_quota_refusal()
    health = Health(checks, ready, metrics.registry, "127.0.0.1", port)
    await health.start()
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{port}{path}")
    finally:
        await health.stop()


async def test_it_is_well_when_nobody_complains() -> None:
    answer = await ask(lambda: None, lambda: None)
    assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_it_says_all_that_is_wrong() -> None:
    answer = await ask(lambda: "this is stuck", lambda: None, lambda: "so is that")
    assert (answer.status_code, answer.text) == (503, "this is stuck\nso is that\n")


async def test_it_is_ready_as_soon_as_everything_was_listed_whoever_leads() -> None:
    resync = Resync(cast(Cluster, SimulatedDoor(SimulatedApi())), Cache(), Watches(1), lambda: None)
    answer = await ask(ready=[resync.not_begun], path="/readyz")
    assert (answer.status_code, answer.text) == (503, "not everything was listed yet\n")
    await resync.once()
    assert (await ask(lambda: "stuck", ready=[resync.not_begun], path="/readyz")).status_code == 200


async def test_its_metrics_are_told_as_prometheus_reads_them() -> None:
    answer = await ask(path="/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "darkroom_quota_refusals_total 1.0" in answer.text.splitlines()


@pytest.mark.parametrize(("seconds", "is_stuck"), [(0, False), (120, False), (121, True)])
def test_a_reconcile_that_has_done_nothing_for_two_minutes_is_stuck(seconds: float, is_stuck: bool) -> None:
    api = SimulatedApi()
    operator = SimulatedOperator(api)
    api.pass_time(seconds)
    assert (operator.complaint() == f"the reconcile has done nothing for {seconds:.0f} s") is is_stuck
