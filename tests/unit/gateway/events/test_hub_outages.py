"""Outages of the cluster and of Redis while jobs are watched."""

from pathlib import Path

from support.event_watchers import HubHarness, LostError, begun, keep_busy, running_hub, until
from support.valkey import Valkey

from darkroom_contract.progress import stream_name
from darkroom_contract.status import Phase
from darkroom_gateway.events import hub as event_hub


async def test_loss_of_the_cluster_is_reported_once_per_outage(harness: HubHarness) -> None:
    [watcher] = await begun(harness)
    for outage in (1, 2):
        harness.failures["a"] = LostError("The cluster does not answer.")
        status_checks = len(harness.status_checks)
        await until(
            lambda status_checks=status_checks: len(harness.status_checks) > status_checks + 3, "it was checked again"
        )
        del harness.failures["a"]
        status_checks = len(harness.status_checks)
        await until(lambda status_checks=status_checks: len(harness.status_checks) > status_checks + 2, "it is back")
        assert watcher.data("warning") == outage * [{"source": "cluster", "detail": "The cluster does not answer."}]


async def test_loss_of_redis_is_reported_once_per_outage_and_progress_continues(tmp_path: Path) -> None:
    with Valkey(tmp_path) as valkey:
        async with running_hub(valkey) as harness:
            [watcher] = await begun(harness)
            for outage in (1, 2):
                valkey.stop()
                await until(lambda outage=outage: len(watcher.data("warning")) == outage, "it is lost")
                late = harness.watch("a")
                await until(lambda late=late: late.names[:2] == ["status", "warning"], "it is sent")
                valkey.start()
                # Valkey has lost its data, and the new stream begins at a lower id.
                harness.report("a", 10 + outage, f"{outage}-0")
                await until(lambda step=10 + outage: watcher.steps[-1] == step, "progress continues")

            assert watcher.data("warning") == 2 * [{"source": "progress", "detail": "Redis can't be reached."}]
            assert watcher.steps == [1, 11, 12]


async def test_hanging_redis_is_reported_within_seconds(tmp_path: Path) -> None:
    with Valkey(tmp_path) as valkey:
        async with running_hub(valkey) as harness:
            [watcher] = await begun(harness)
            valkey.pause()
            await until(lambda: watcher.data("warning"), "it is lost", seconds=10)
            harness.set_phase("a", Phase.SUCCEEDED)
            await until(lambda: "end" in watcher.names, "the job's end does not wait for it", seconds=10)
            valkey.resume()


async def test_busy_event_loop_is_not_an_outage(harness: HubHarness) -> None:
    [watcher] = await begun(harness)
    for step in (2, 3):
        keep_busy(event_hub.READ_SECONDS + 3.0)
        harness.report("a", step)
        await until(lambda step=step: watcher.steps[-1] == step, "progress continues")

    assert watcher.data("warning") == []


async def test_connection_closed_by_redis_is_not_an_outage(harness: HubHarness) -> None:
    [watcher] = await begun(harness)
    for each in harness.valkey.other_connections():
        harness.valkey.client.client_kill_filter(_id=each["id"])
    harness.report("a", 2)

    await until(lambda: watcher.steps == [1, 2], "progress continues")
    assert watcher.data("warning") == []


async def test_stream_that_redis_refuses_is_lost_only_for_its_watchers(harness: HubHarness) -> None:
    harness.valkey.client.set(stream_name("b"), "no stream")
    harness.add_job("b")
    [well], broken = await begun(harness, "a"), harness.watch("b")
    await until(lambda: broken.data("warning"), "it is lost")
    harness.report("a", 2)
    await until(lambda: well.steps == [1, 2], "the other watcher continues")
    harness.set_phase("b", Phase.FAILED)
    await until(lambda: "end" in broken.names, "it ends all the same")

    assert broken.names == ["status", "warning", "status", "end"]
    assert well.data("warning") == []
