"""What a complete list says about what the watches have shown."""

from typing import cast

import pytest
from support.simulated_api import SimulatedApi, SimulatedDoor
from support.simulated_operator import GENERATE, SimulatedOperator, SimulatedUser

from darkroom_operator.cluster import Cluster
from darkroom_operator.errors import HistoryLostError
from darkroom_operator.resync import Resync
from darkroom_operator.watches import Watches


def resync(operator: SimulatedOperator, api: SimulatedApi) -> Resync:
    return Resync(cast(Cluster, SimulatedDoor(api)), operator.cache, Watches(120.0), lambda: None)


async def test_a_job_that_vanished_unseen_is_gone() -> None:
    api = SimulatedApi()
    SimulatedUser(api).create("a")
    operator = SimulatedOperator(api)
    [uid] = operator.cache.jobs.view
    api.delete(GENERATE, "a")
    await resync(operator, api).once()
    assert uid not in operator.cache.jobs.view
    assert uid in operator.cache.world(api.now, 1).gone


async def test_a_pod_that_is_missing_from_its_list_is_looked_for_rather_than_taken_for_gone() -> None:
    api = SimulatedApi()
    SimulatedUser(api).create("a")
    operator = SimulatedOperator(api)
    operator.rest()
    [name] = api.objects["pods"]
    api.patch("pods", name, {"metadata": {"labels": {"app.kubernetes.io/component": None}}})
    await resync(operator, api).once()
    assert not operator.cache.pods.view
    sent = operator.door.sent
    operator.step(100)
    assert operator.door.sent > sent
    assert [pod.name for pod in operator.cache.pods.view.values()] == [name]
    assert api.get(GENERATE, "a")["status"]["phase"] == "Starting"


async def test_an_api_server_that_was_set_back_ends_the_process() -> None:
    api, restored = SimulatedApi(), SimulatedApi()
    for name in ("a", "b"):
        SimulatedUser(api).create(name)
    SimulatedUser(restored).create("a")
    with pytest.raises(HistoryLostError, match="resource version 1, and 2 was seen"):
        await resync(SimulatedOperator(api), restored).once()


async def test_a_watch_that_does_not_show_what_a_list_had_is_found_stuck() -> None:
    api, clock = SimulatedApi(), [0.0]
    SimulatedUser(api).create("a")
    watches = Watches(120.0, lambda: clock[0])
    await Resync(cast(Cluster, SimulatedDoor(api)), SimulatedOperator(api).cache, watches, lambda: None).once()
    clock[0] = 121.0
    assert (watches.complaint() or "").startswith("the watch of generatejobs has not shown version 1")
