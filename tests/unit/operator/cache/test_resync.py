"""A complete list corrects what the watches have delivered."""

from collections import Counter
from typing import cast

import pytest
from support.simulated_api import SimulatedApi, SimulatedKubeClient
from support.simulated_operator import SimulatedOperator
from support.simulated_user import GENERATE, SimulatedUser

from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.resync import Resync
from darkroom_operator.errors import ApiError, HistoryLostError
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.kube.watch_monitor import WatchMonitor


def resync(operator: SimulatedOperator, api: SimulatedApi) -> Resync:
    return Resync(cast(KubeClient, SimulatedKubeClient(api)), operator.cache, WatchMonitor(120.0), lambda: None)


async def test_the_first_list_is_retried_until_the_cache_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom_operator.cache.resync.FIRST_RETRY_SECONDS", 0.0)
    api, cache, tries = SimulatedApi(), Cache(), Counter[str]()
    before = SimulatedOperator(api)
    SimulatedUser(api).create("a")
    before.rest()
    kube = SimulatedKubeClient(api, breaks="lost")
    first = Resync(cast(KubeClient, kube), cache, WatchMonitor(120.0), lambda: None)
    await first.list_until_complete(lambda: tries.update(["alive"]))
    assert tries["alive"] == 2
    assert first.readiness_error() is None
    filled, known = cache.snapshot(api.now, 1), before.cache.snapshot(api.now, 1)
    assert (filled.jobs, filled.pods, filled.slots) == (known.jobs, known.pods, known.slots)
    assert filled.pods


async def test_a_forbidden_first_list_is_not_retried() -> None:
    kube = SimulatedKubeClient(SimulatedApi(), breaks="refused")
    first = Resync(cast(KubeClient, kube), Cache(), WatchMonitor(120.0), lambda: None)
    with pytest.raises(ApiError, match="403"):
        await first.list_until_complete(lambda: None)
    assert first.readiness_error() is not None


async def test_a_list_adds_what_no_watch_has_delivered() -> None:
    api = SimulatedApi()
    operator = SimulatedOperator(api)
    SimulatedUser(api).create("a")
    await resync(operator, api).once()
    assert [job.name for job in operator.cache.jobs.view.values()] == ["a"]


async def test_a_job_that_a_list_does_not_contain_is_deleted() -> None:
    api = SimulatedApi()
    SimulatedUser(api).create("a")
    operator = SimulatedOperator(api)
    [uid] = operator.cache.jobs.view
    api.delete(GENERATE, "a")
    await resync(operator, api).once()
    assert uid not in operator.cache.jobs.view
    assert uid in operator.cache.snapshot(api.now, 1).deleted


async def test_a_pod_that_its_list_does_not_contain_is_looked_up_rather_than_deleted() -> None:
    api = SimulatedApi()
    SimulatedUser(api).create("a")
    operator = SimulatedOperator(api)
    operator.rest()
    [name] = api.objects["pods"]
    api.patch("pods", name, {"metadata": {"labels": {"app.kubernetes.io/component": None}}})
    await resync(operator, api).once()
    assert not operator.cache.pods.view
    sent = operator.kube.sent
    operator.step(100)
    assert operator.kube.sent > sent
    assert [pod.name for pod in operator.cache.pods.view.values()] == [name]
    assert api.get(GENERATE, "a")["status"]["phase"] == "Starting"


async def test_an_api_server_with_older_resource_versions_ends_the_process() -> None:
    api, restored = SimulatedApi(), SimulatedApi()
    for name in ("a", "b"):
        SimulatedUser(api).create(name)
    SimulatedUser(restored).create("a")
    with pytest.raises(HistoryLostError, match="resource version 1, but 2 was read"):
        await resync(SimulatedOperator(api), restored).once()


async def test_an_object_deleted_between_two_lists_is_not_expected_from_its_watch() -> None:
    api, clock = SimulatedApi(), [0.0]
    SimulatedUser(api).create("a")
    watch_monitor = WatchMonitor(120.0, lambda: clock[0])
    listing = Resync(cast(KubeClient, SimulatedKubeClient(api)), Cache(), watch_monitor, lambda: None)
    await listing.once()
    api.delete(GENERATE, "a")
    await listing.once()
    clock[0] = 121.0
    assert watch_monitor.liveness_error() is None


async def test_a_watch_that_does_not_deliver_what_a_list_contains_is_stuck() -> None:
    api, clock = SimulatedApi(), [0.0]
    SimulatedUser(api).create("a")
    watch_monitor = WatchMonitor(120.0, lambda: clock[0])
    await Resync(
        cast(KubeClient, SimulatedKubeClient(api)), SimulatedOperator(api).cache, watch_monitor, lambda: None
    ).once()
    clock[0] = 121.0
    assert (watch_monitor.liveness_error() or "").startswith("the watch of generatejobs has not delivered version 1")
