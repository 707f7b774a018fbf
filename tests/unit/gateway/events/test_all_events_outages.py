"""Outages of Redis and of the cluster on the stream of all jobs."""

from pathlib import Path

from support.event_watchers import until
from support.namespace_events import reported_steps, running_follower, states
from support.valkey import Valkey


async def test_loss_of_redis_is_a_warning_and_the_status_replaces_progress(tmp_path: Path) -> None:
    with Valkey(tmp_path) as valkey:
        async with running_follower(valkey) as harness:
            harness.put("a", "Running")
            watcher, other = await harness.watch_all(), await harness.watch_all()
            valkey.stop()
            await until(lambda: watcher.names == ["warning"], "the outage is sent")
            progress = {"stage": "Denoising", "step": 4, "lastUpdatedTime": "2026-01-02T03:04:05Z"}
            harness.put("a", "Running", progress=progress)
            await until(lambda: [each["step"] for each in watcher.data("job")] == [4], "the status is sent instead")
            late = await harness.watch_all()
            await until(lambda: late.names == ["warning"], "a late watcher knows of the outage")
            valkey.start()
            harness.report("a", 5)
            await until(lambda: reported_steps(watcher) == [5], "progress continues")
            valkey.stop()
            await until(lambda: watcher.names.count("warning") == 2, "the next outage is sent")

        assert [each["source"] for each in watcher.data("warning")] == ["progress", "progress"]
        assert other.names[:4] == watcher.names[:4]


async def test_end_of_a_run_does_not_wait_for_a_lost_redis(tmp_path: Path) -> None:
    with Valkey(tmp_path) as valkey:
        async with running_follower(valkey) as harness:
            harness.put("a", "Running")
            watcher = await harness.watch_all()
            valkey.stop()
            await until(lambda: watcher.names == ["warning"], "the outage is sent")
            harness.put("a", "Succeeded")
            await until(lambda: states(watcher) == [("a", "Succeeded")], "the end is sent")


async def test_loss_of_the_cluster_is_a_warning_once_per_outage(valkey: Valkey) -> None:
    async with running_follower(valkey) as harness:
        watcher = await harness.watch_all()
        for outage in (1, 2):
            harness.watch_is_lost = True
            await until(
                lambda outage=outage: len(watcher.data("warning")) == outage, "the outage is sent, and only once"
            )
            harness.watch_is_lost = False
            harness.put("a", "Queued", queue={"position": outage})
            await until(lambda outage=outage: len(states(watcher)) == outage, "changes continue")

        assert {each["source"] for each in watcher.data("warning")} == {"cluster"}
