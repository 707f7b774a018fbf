"""`/healthz`, `/readyz` and `/metrics` over HTTP."""

from collections.abc import Sequence
from typing import cast

import httpx
import pytest
from support.simulated_api import SimulatedApi, SimulatedKubeClient
from support.simulated_operator import SimulatedOperator

from darkroom_local.processes.ports import free_ports
from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.resync import Resync
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.kube.watch_monitor import WatchMonitor
from darkroom_operator.telemetry.health import Check, Health
from darkroom_operator.telemetry.metrics import Metrics


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


async def test_it_is_healthy_without_errors() -> None:
    answer = await ask(lambda: None, lambda: None)
    assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_it_reports_all_errors() -> None:
    answer = await ask(lambda: "this is stuck", lambda: None, lambda: "so is that")
    assert (answer.status_code, answer.text) == (503, "this is stuck\nso is that\n")


async def test_it_is_ready_once_the_cache_is_complete_leader_or_not() -> None:
    resync = Resync(cast(KubeClient, SimulatedKubeClient(SimulatedApi())), Cache(), WatchMonitor(1), lambda: None)
    answer = await ask(ready=[resync.readiness_error], path="/readyz")
    assert (answer.status_code, answer.text) == (503, "the first list of all objects is not complete\n")
    await resync.once()
    assert (await ask(lambda: "stuck", ready=[resync.readiness_error], path="/readyz")).status_code == 200


async def test_its_metrics_are_in_the_format_of_prometheus() -> None:
    answer = await ask(path="/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "darkroom_quota_refusals_total 1.0" in answer.text.splitlines()


@pytest.mark.parametrize(("seconds", "is_stuck"), [(0, False), (120, False), (121, True)])
def test_a_reconcile_loop_without_progress_for_two_minutes_is_stuck(seconds: float, is_stuck: bool) -> None:
    api = SimulatedApi()
    operator = SimulatedOperator(api)
    api.pass_time(seconds)
    assert (operator.liveness_error() == f"the reconcile loop has made no progress for {seconds:.0f} s") is is_stuck
