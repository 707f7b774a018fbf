"""However many watch a job: one reader, one connection, one look at a time; and each gets what it has missed."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.event_watchers import POLL_SECONDS, Connection, HubHarness, LostError, until, world_of
from support.valkey import Valkey

from darkroom_contract.progress import stream_name
from darkroom_contract.status import Phase
from darkroom_gateway.errors import TooManyStreamsError
from darkroom_gateway.events import hub as event_hub
from darkroom_gateway.events.history import HISTORY_ENTRIES, TRIMMED_AT_ONCE


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    shared_valkey.client.flushall()
    return shared_valkey


@pytest.fixture
async def world(valkey: Valkey) -> AsyncIterator[HubHarness]:
    async with world_of(valkey) as world:
        yield world


async def begun(world: HubHarness, uid: str = "a", watchers: int = 1) -> list[Connection]:
    """Watchers of a running job who have seen its first step; its entry has the id 5-0."""
    world.add_job(uid)
    world.report(uid, 1, "5-0")
    connections = [world.watch(uid) for _ in range(watchers)]
    await until(lambda: all(each.steps == [1] for each in connections), "all have begun")
    return connections


def keep_busy(seconds: float) -> None:
    """Lets nothing else happen in the event loop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def test_fifty_watchers_cost_one_connection_and_one_status_check_at_a_time(world: HubHarness) -> None:
    connections = await begun(world, watchers=50)
    reads, looks, since = world.valkey.calls("xread"), len(world.looks), time.monotonic()

    for step in range(2, 12):
        world.report("a", step)
    await until(lambda: len(world.looks) >= looks + 5, "the job was looked at")
    await until(lambda: all(each.steps == list(range(1, 12)) for each in connections), "all got it")

    passed = time.monotonic() - since
    assert len(world.valkey.other_connections()) == 1
    assert world.valkey.calls("xread") - reads <= passed / event_hub.READ_SECONDS + 10 + 2
    assert len(world.looks) - looks <= passed / POLL_SECONDS + 1
    assert [each.data("warning") for each in connections] == [[]] * 50


async def test_streams_of_several_jobs_are_read_over_one_connection(world: HubHarness) -> None:
    [first], [second] = await begun(world, "a"), await begun(world, "b")
    world.report("b", 7)
    await until(lambda: second.steps == [1, 7], "it got its own")

    assert first.steps == [1]
    assert len(world.valkey.other_connections()) == 1


async def test_late_watcher_gets_the_history_without_another_read(world: HubHarness) -> None:
    await begun(world)
    world.valkey.client.delete(stream_name("a"))
    late = world.watch("a")
    await until(lambda: late.steps == [1], "it got the past")

    assert late.names == ["status", "progress"]


@pytest.mark.parametrize(
    ("after", "steps"), [("0-0", [1, 2, 3]), ("5-0", [2, 3]), ("6-9", [3]), ("0005-0", [2, 3]), ("7-0", [])]
)
@pytest.mark.parametrize("is_first", [True, False], ids=["a new feed", "a feed that others watch"])
async def test_reconnecting_watcher_continues_after_its_last_event(
    world: HubHarness, after: str, steps: list[int], is_first: bool
) -> None:
    world.add_job("a")
    for step, entry in enumerate(("5-0", "6-1", "7-0"), start=1):
        world.report("a", step, entry)
    if not is_first:
        other = world.watch("a")
        await until(lambda: other.steps == [1, 2, 3], "the others have begun")
    back = world.watch("a", after)
    world.report("a", 4)

    await until(lambda: back.steps[-1:] == [4], "it got what is new")
    assert back.steps == [*steps, 4]


@pytest.mark.parametrize("after", ["9-0", "18446744073709551615-0", "99999999999999999999-99999999999999999999"])
async def test_last_event_id_ahead_of_the_stream_belongs_to_a_lost_stream(world: HubHarness, after: str) -> None:
    world.add_job("a")
    for step, entry in enumerate(("5-0", "6-0"), start=1):
        world.report("a", step, entry)
    back = world.watch("a", after)

    await until(lambda: back.steps == [1, 2], "it got all of the new stream")
    assert back.names == ["status", "progress", "progress"]


async def test_last_event_id_ahead_of_an_ended_stream_belongs_to_a_lost_stream(world: HubHarness) -> None:
    [first] = await begun(world)
    world.set_phase("a", Phase.SUCCEEDED)
    await until(lambda: "end" in first.names, "it has ended")

    back = world.watch("a", "9-0")
    await until(lambda: "end" in back.names, "who comes back gets the end")

    assert back.names == ["status", "progress", "end"]


async def test_stream_that_restarts_with_lower_ids_is_sent_to_all(world: HubHarness) -> None:
    [watcher] = await begun(world)
    world.valkey.client.delete(stream_name("a"))
    world.report("a", 2, "1-0")
    await until(lambda: watcher.steps == [1, 2], "the new stream is sent")
    world.report("a", 3, "2-0")
    await until(lambda: watcher.steps == [1, 2, 3], "and goes on")
    late, back, from_old = world.watch("a"), world.watch("a", "1-0"), world.watch("a", "5-0")

    await until(lambda: late.steps == [1, 2, 3], "who comes late gets both")
    await until(lambda: back.steps == [3], "who comes back goes on in the new one")
    await until(lambda: from_old.steps == [2, 3], "who comes back from the old one gets all of the new")
    assert watcher.ids == ["5-0", "1-0", "2-0"]


async def test_stream_that_lost_its_last_entry_is_not_sent_twice(world: HubHarness) -> None:
    [watcher] = await begun(world)
    last = world.report("a", 2)
    await until(lambda: watcher.steps == [1, 2], "both are sent")
    world.valkey.client.xdel(stream_name("a"), last)
    reads = world.valkey.calls("xrevrange")
    await until(lambda: world.valkey.calls("xrevrange") >= reads + 2, "the loss was found")
    world.report("a", 3)

    await until(lambda: watcher.steps[-1] == 3, "it goes on")
    assert watcher.steps == [1, 2, 3]


async def test_other_requests_are_handled_while_an_event_is_sent_to_many_watchers(world: HubHarness) -> None:
    connections = await begun(world, watchers=500)
    told_at_each_turn: list[int] = []

    async def another_request() -> None:
        while not told_at_each_turn or told_at_each_turn[-1] < 500:
            await asyncio.sleep(0)
            told_at_each_turn.append(sum(each.steps[-1] == 2 for each in connections))

    world.report("a", 2)
    await another_request()
    assert {100, 200, 300, 400} & set(told_at_each_turn)


async def test_slow_watcher_delays_nobody_and_continues_with_the_oldest_event(world: HubHarness) -> None:
    [quick] = await begun(world)
    slow = world.watch("a", takes=False)
    for step in range(2, 3001):
        world.report("a", step)
        if step % 500 == 0:
            await until(lambda step=step: quick.steps[-1] == step, "the other gets it")
    slow.takes.set()
    await until(lambda: slow.steps[-1:] == [3000], "the slow one has caught up")

    assert quick.steps == list(range(1, 3001))
    kept = slow.steps[1:] if slow.steps[0] == 1 else slow.steps
    assert kept == list(range(kept[0], 3001))
    assert HISTORY_ENTRIES <= len(kept) <= HISTORY_ENTRIES + TRIMMED_AT_ONCE


async def test_idle_stream_is_pinged(world: HubHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_hub, "PING_SECONDS", 0.2)
    [watcher] = await begun(world)

    await until(lambda: watcher.pings >= 2, "it was pinged")


async def test_tasks_end_after_the_last_watcher(world: HubHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_hub, "LINGER_SECONDS", 0.3)
    before = asyncio.all_tasks()
    connections = await begun(world, watchers=3)
    for each in connections:
        each.gone.set()
    await until(lambda: asyncio.all_tasks() <= before, "no task is left")
    reads, looks = world.valkey.calls("xread"), len(world.looks)

    [again] = await begun(world, "b")
    assert world.looks.count("a") == looks
    assert again.steps == [1]
    assert world.valkey.calls("xread") > reads


async def test_loss_of_the_cluster_is_reported_once_per_outage(world: HubHarness) -> None:
    [watcher] = await begun(world)
    for outage in (1, 2):
        world.failures["a"] = LostError("The cluster does not answer.")
        looks = len(world.looks)
        await until(lambda looks=looks: len(world.looks) > looks + 3, "it was looked at again")
        del world.failures["a"]
        looks = len(world.looks)
        await until(lambda looks=looks: len(world.looks) > looks + 2, "it is back")
        assert watcher.data("warning") == outage * [{"source": "cluster", "detail": "The cluster does not answer."}]


async def test_loss_of_redis_is_reported_once_per_outage_and_progress_continues(tmp_path: Path) -> None:
    with Valkey(tmp_path) as valkey:
        async with world_of(valkey) as world:
            [watcher] = await begun(world)
            for outage in (1, 2):
                valkey.stop()
                await until(lambda outage=outage: len(watcher.data("warning")) == outage, "it is lost")
                late = world.watch("a")
                await until(lambda late=late: late.names[:2] == ["status", "warning"], "it is sent")
                valkey.start()
                # Valkey has lost its data, and the new stream begins at a lower id.
                world.report("a", 10 + outage, f"{outage}-0")
                await until(lambda step=10 + outage: watcher.steps[-1] == step, "it goes on")

            assert watcher.data("warning") == 2 * [{"source": "progress", "detail": "Redis can't be reached."}]
            assert watcher.steps == [1, 11, 12]


async def test_hanging_redis_is_reported_within_seconds(tmp_path: Path) -> None:
    with Valkey(tmp_path) as valkey:
        async with world_of(valkey) as world:
            [watcher] = await begun(world)
            valkey.pause()
            await until(lambda: watcher.data("warning"), "it is lost", seconds=10)
            world.set_phase("a", Phase.SUCCEEDED)
            await until(lambda: "end" in watcher.names, "the job's end does not wait for it", seconds=10)
            valkey.resume()


async def test_busy_event_loop_is_not_an_outage(world: HubHarness) -> None:
    [watcher] = await begun(world)
    for step in (2, 3):
        keep_busy(event_hub.READ_SECONDS + 3.0)
        world.report("a", step)
        await until(lambda step=step: watcher.steps[-1] == step, "it goes on")

    assert watcher.data("warning") == []


async def test_connection_closed_by_redis_is_not_an_outage(world: HubHarness) -> None:
    [watcher] = await begun(world)
    for each in world.valkey.other_connections():
        world.valkey.client.client_kill_filter(_id=each["id"])
    world.report("a", 2)

    await until(lambda: watcher.steps == [1, 2], "it goes on")
    assert watcher.data("warning") == []


async def test_stream_that_redis_refuses_is_lost_only_for_its_watchers(world: HubHarness) -> None:
    world.valkey.client.set(stream_name("b"), "no stream")
    world.add_job("b")
    [well], broken = await begun(world, "a"), world.watch("b")
    await until(lambda: broken.data("warning"), "it is lost")
    world.report("a", 2)
    await until(lambda: well.steps == [1, 2], "the other goes on")
    world.set_phase("b", Phase.FAILED)
    await until(lambda: "end" in broken.names, "it ends all the same")

    assert broken.names == ["status", "warning", "status", "end"]
    assert well.data("warning") == []


async def test_all_progress_is_sent_before_the_end(world: HubHarness) -> None:
    connections = await begun(world, watchers=5)
    for step in range(2, 700):
        world.report("a", step)
    world.set_phase("a", Phase.SUCCEEDED)
    await until(lambda: all("end" in each.names for each in connections), "all have ended")
    late = world.watch("a")
    await until(lambda: "end" in late.names, "who comes late gets all of it")

    for each in (*connections, late):
        assert each.steps == list(range(1, 700))
        assert each.events[-1] == ("end", {"reason": "Succeeded"})
    assert late.names.count("status") == 1


async def test_deleted_job_ends_with_its_last_progress(world: HubHarness) -> None:
    [watcher] = await begun(world)
    world.report("a", 2)
    del world.jobs["a"]
    await until(lambda: "end" in watcher.names, "it has ended")

    assert watcher.steps == [1, 2]
    assert watcher.events[-1] == ("end", {"reason": "Deleted"})


async def test_bug_in_a_task_ends_its_streams(world: HubHarness) -> None:
    [other] = await begun(world, "b")
    [watcher] = await begun(world, "a")
    world.failures["a"] = ZeroDivisionError()
    await until(lambda: "end" in watcher.names, "it has ended")
    del world.failures["a"]
    again = world.watch("a")
    await until(lambda: again.steps == [1], "the next one is served")
    world.report("b", 2)
    await until(lambda: other.steps == [1, 2], "the other job's goes on")

    assert watcher.events[-1] == ("end", {"reason": "GatewayStopping"})


async def test_stopping_gateway_tells_watchers_to_reconnect(world: HubHarness) -> None:
    connections = await begun(world, watchers=2)
    world.shutdown.streams_end.set()
    await until(lambda: all("end" in each.names for each in connections), "all have ended")
    late = world.watch("a")
    await until(lambda: "end" in late.names, "so has who comes late")

    for each in (*connections, late):
        assert each.events[-1] == ("end", {"reason": "GatewayStopping"})


async def test_failed_connection_is_released(world: HubHarness) -> None:
    [well], failing = await begun(world), world.watch("a")
    await until(lambda: failing.steps == [1], "it has begun")
    failing.fails = True
    world.report("a", 2)
    await until(lambda: failing.task is not None and failing.task.done(), "it is let go")

    await until(lambda: well.steps == [1, 2], "the other goes on")


async def test_streams_beyond_the_limit_are_refused_until_one_ends(valkey: Valkey) -> None:
    async with world_of(valkey, max_watchers=2) as world:
        first, second = await begun(world, watchers=2)
        with pytest.raises(TooManyStreamsError, match="its limit of 2 event streams"):
            world.watch("a")
        first.gone.set()
        await until(lambda: first.task is not None and first.task.done(), "one has gone")
        third = world.watch("a")
        await until(lambda: third.steps == second.steps, "its place was free")


@pytest.mark.parametrize("query", ["?protocol=2", "?protocol=3", "?protocol=3&legacy_responses=false"])
async def test_every_reply_format_of_redis_is_fanned_out(valkey: Valkey, query: str) -> None:
    async with world_of(valkey, query=query) as world:
        [watcher] = await begun(world)
        world.report("a", 2)
        await until(lambda: watcher.steps == [1, 2], "it is sent")
