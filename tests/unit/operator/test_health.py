"""`/healthz` over HTTP: well as long as nobody complains."""

import httpx
import pytest
from support.simulated_api import SimulatedApi
from support.simulated_operator import SimulatedOperator

from darkroom_local.ports import free_ports
from darkroom_operator.health import Check, Health


async def ask(*checks: Check) -> httpx.Response:
    [port] = free_ports(1)
    health = Health(checks, "127.0.0.1", port)
    await health.start()
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{port}/healthz")
    finally:
        await health.stop()


async def test_it_is_well_when_nobody_complains() -> None:
    answer = await ask(lambda: None, lambda: None)
    assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_it_says_all_that_is_wrong() -> None:
    answer = await ask(lambda: "this is stuck", lambda: None, lambda: "so is that")
    assert (answer.status_code, answer.text) == (503, "this is stuck\nso is that\n")


@pytest.mark.parametrize(("seconds", "is_stuck"), [(0, False), (120, False), (121, True)])
def test_a_reconcile_that_has_done_nothing_for_two_minutes_is_stuck(seconds: float, is_stuck: bool) -> None:
    api = SimulatedApi()
    operator = SimulatedOperator(api)
    api.pass_time(seconds)
    assert (operator.complaint() == f"the reconcile has done nothing for {seconds:.0f} s") is is_stuck
