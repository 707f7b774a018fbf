"""Fan-out to many watchers: one reader, one connection, one status check at a time; and nobody misses an event."""

import asyncio
import time

import pytest
from support.event_watchers import POLL_SECONDS, HubHarness, begun, running_hub, until
from support.valkey import Valkey

from darkroom_contract.progress import stream_name
from darkroom_contract.status import Phase
from darkroom_gateway.errors import TooManyStreamsError
from darkroom_gateway.events import hub as event_hub
from darkroom_gateway.events.history import HISTORY_ENTRIES, TRIMMED_AT_ONCE


async def test_fifty_watchers_cost_one_connection_and_one_status_check_at_a_time(harness: HubHarness) -> None:
    connections = await begun(harness, watchers=50)
    reads, status_checks, since = harness.valkey.calls("xread"), len(harness.status_checks), time.monotonic()

    for step in range(2, 12):
        harness.report("a", step)
    await until(lambda: len(harness.status_checks) >= status_checks + 5, "the job was checked")
    await until(lambda: all(each.steps == list(range(1, 12)) for each in connections), "all got it")

    passed = time.monotonic() - since
    assert len(harness.valkey.other_connections()) == 1
    assert harness.valkey.calls("xread") - reads <= passed / event_hub.READ_SECONDS + 10 + 2
    assert len(harness.status_checks) - status_checks <= passed / POLL_SECONDS + 1
    assert [each.data("warning") for each in connections] == [[]] * 50


async def test_streams_of_several_jobs_are_read_over_one_connection(harness: HubHarness) -> None:
    [first], [second] = await begun(harness, "a"), await begun(harness, "b")
    harness.report("b", 7)
    await until(lambda: second.steps == [1, 7], "it got its own")

    assert first.steps == [1]
    assert len(harness.valkey.other_connections()) == 1


async def test_late_watcher_gets_the_history_without_another_read(harness: HubHarness) -> None:
    await begun(harness)
    harness.valkey.client.delete(stream_name("a"))
    late = harness.watch("a")
    await until(lambda: late.steps == [1], "it got the past")

    assert late.names == ["status", "progress"]


@pytest.mark.parametrize(
    ("after", "steps"), [("0-0", [1, 2, 3]), ("5-0", [2, 3]), ("6-9", [3]), ("0005-0", [2, 3]), ("7-0", [])]
)
@pytest.mark.parametrize("is_first", [True, False], ids=["a new feed", "a feed that others watch"])
async def test_reconnecting_watcher_continues_after_its_last_event(
    harness: HubHarness, after: str, steps: list[int], is_first: bool
) -> None:
    harness.add_job("a")
    for step, entry in enumerate(("5-0", "6-1", "7-0"), start=1):
        harness.report("a", step, entry)
    if not is_first:
        other = harness.watch("a")
        await until(lambda: other.steps == [1, 2, 3], "the others have begun")
    back = harness.watch("a", after)
    harness.report("a", 4)

    await until(lambda: back.steps[-1:] == [4], "it got what is new")
    assert back.steps == [*steps, 4]


@pytest.mark.parametrize("after", ["9-0", "18446744073709551615-0", "99999999999999999999-99999999999999999999"])
async def test_last_event_id_ahead_of_the_stream_belongs_to_a_lost_stream(harness: HubHarness, after: str) -> None:
    harness.add_job("a")
    for step, entry in enumerate(("5-0", "6-0"), start=1):
        harness.report("a", step, entry)
    back = harness.watch("a", after)

    await until(lambda: back.steps == [1, 2], "it got all of the new stream")
    assert back.names == ["status", "progress", "progress"]


async def test_last_event_id_ahead_of_an_ended_stream_belongs_to_a_lost_stream(harness: HubHarness) -> None:
    [first] = await begun(harness)
    harness.set_phase("a", Phase.SUCCEEDED)
    await until(lambda: "end" in first.names, "it has ended")

    back = harness.watch("a", "9-0")
    await until(lambda: "end" in back.names, "who comes back gets the end")

    assert back.names == ["status", "progress", "end"]


async def test_stream_that_restarts_with_lower_ids_is_sent_to_all(harness: HubHarness) -> None:
    [watcher] = await begun(harness)
    harness.valkey.client.delete(stream_name("a"))
    harness.report("a", 2, "1-0")
    await until(lambda: watcher.steps == [1, 2], "the new stream is sent")
    harness.report("a", 3, "2-0")
    await until(lambda: watcher.steps == [1, 2, 3], "progress continues")
    late, back, from_old = harness.watch("a"), harness.watch("a", "1-0"), harness.watch("a", "5-0")

    await until(lambda: late.steps == [1, 2, 3], "who comes late gets both")
    await until(lambda: back.steps == [3], "a reconnecting watcher continues in the new stream")
    await until(lambda: from_old.steps == [2, 3], "who comes back from the old one gets all of the new")
    assert watcher.ids == ["5-0", "1-0", "2-0"]


async def test_stream_that_lost_its_last_entry_is_not_sent_twice(harness: HubHarness) -> None:
    [watcher] = await begun(harness)
    last = harness.report("a", 2)
    await until(lambda: watcher.steps == [1, 2], "both are sent")
    harness.valkey.client.xdel(stream_name("a"), last)
    reads = harness.valkey.calls("xrevrange")
    await until(lambda: harness.valkey.calls("xrevrange") >= reads + 2, "the loss was found")
    harness.report("a", 3)

    await until(lambda: watcher.steps[-1] == 3, "progress continues")
    assert watcher.steps == [1, 2, 3]


async def test_other_requests_are_handled_while_an_event_is_sent_to_many_watchers(harness: HubHarness) -> None:
    connections = await begun(harness, watchers=500)
    told_at_each_turn: list[int] = []

    async def another_request() -> None:
        while not told_at_each_turn or told_at_each_turn[-1] < 500:
            await asyncio.sleep(0)
            told_at_each_turn.append(sum(each.steps[-1] == 2 for each in connections))

    harness.report("a", 2)
    await another_request()
    assert {100, 200, 300, 400} & set(told_at_each_turn)


async def test_slow_watcher_delays_nobody_and_continues_with_the_oldest_event(harness: HubHarness) -> None:
    [quick] = await begun(harness)
    slow = harness.watch("a", takes=False)
    for step in range(2, 3001):
        harness.report("a", step)
        if step % 500 == 0:
            await until(lambda step=step: quick.steps[-1] == step, "the other gets it")
    slow.takes.set()
    await until(lambda: slow.steps[-1:] == [3000], "the slow one has caught up")

    assert quick.steps == list(range(1, 3001))
    kept = slow.steps[1:] if slow.steps[0] == 1 else slow.steps
    assert kept == list(range(kept[0], 3001))
    assert HISTORY_ENTRIES <= len(kept) <= HISTORY_ENTRIES + TRIMMED_AT_ONCE


async def test_idle_stream_is_pinged(harness: HubHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_hub, "PING_SECONDS", 0.2)
    [watcher] = await begun(harness)

    await until(lambda: watcher.pings >= 2, "it was pinged")


async def test_tasks_end_after_the_last_watcher(harness: HubHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_hub, "LINGER_SECONDS", 0.3)
    before = asyncio.all_tasks()
    connections = await begun(harness, watchers=3)
    for each in connections:
        each.gone.set()
    await until(lambda: asyncio.all_tasks() <= before, "no task is left")
    reads, status_checks = harness.valkey.calls("xread"), len(harness.status_checks)

    [again] = await begun(harness, "b")
    assert harness.status_checks.count("a") == status_checks
    assert again.steps == [1]
    assert harness.valkey.calls("xread") > reads


async def test_all_progress_is_sent_before_the_end(harness: HubHarness) -> None:
    connections = await begun(harness, watchers=5)
    for step in range(2, 700):
        harness.report("a", step)
    harness.set_phase("a", Phase.SUCCEEDED)
    await until(lambda: all("end" in each.names for each in connections), "all have ended")
    late = harness.watch("a")
    await until(lambda: "end" in late.names, "who comes late gets all of it")

    for each in (*connections, late):
        assert each.steps == list(range(1, 700))
        assert each.events[-1] == ("end", {"reason": "Succeeded"})
    assert late.names.count("status") == 1


async def test_deleted_job_ends_with_its_last_progress(harness: HubHarness) -> None:
    [watcher] = await begun(harness)
    harness.report("a", 2)
    del harness.jobs["a"]
    await until(lambda: "end" in watcher.names, "it has ended")

    assert watcher.steps == [1, 2]
    assert watcher.events[-1] == ("end", {"reason": "Deleted"})


async def test_bug_in_a_task_ends_its_streams(harness: HubHarness) -> None:
    [other] = await begun(harness, "b")
    [watcher] = await begun(harness, "a")
    harness.failures["a"] = ZeroDivisionError()
    await until(lambda: "end" in watcher.names, "it has ended")
    del harness.failures["a"]
    again = harness.watch("a")
    await until(lambda: again.steps == [1], "the next one is served")
    harness.report("b", 2)
    await until(lambda: other.steps == [1, 2], "the other job continues")

    assert watcher.events[-1] == ("end", {"reason": "GatewayStopping"})


async def test_stopping_gateway_tells_watchers_to_reconnect(harness: HubHarness) -> None:
    connections = await begun(harness, watchers=2)
    harness.shutdown.streams_end.set()
    await until(lambda: all("end" in each.names for each in connections), "all have ended")
    late = harness.watch("a")
    await until(lambda: "end" in late.names, "so has who comes late")

    for each in (*connections, late):
        assert each.events[-1] == ("end", {"reason": "GatewayStopping"})


async def test_failed_connection_is_released(harness: HubHarness) -> None:
    [well], failing = await begun(harness), harness.watch("a")
    await until(lambda: failing.steps == [1], "it has begun")
    failing.fails = True
    harness.report("a", 2)
    await until(lambda: failing.task is not None and failing.task.done(), "it is let go")

    await until(lambda: well.steps == [1, 2], "the other watcher continues")


async def test_streams_beyond_the_limit_are_refused_until_one_ends(valkey: Valkey) -> None:
    async with running_hub(valkey, max_watchers=2) as harness:
        first, second = await begun(harness, watchers=2)
        with pytest.raises(TooManyStreamsError, match="its limit of 2 event streams"):
            harness.watch("a")
        first.gone.set()
        await until(lambda: first.task is not None and first.task.done(), "one has gone")
        third = harness.watch("a")
        await until(lambda: third.steps == second.steps, "its place was free")


@pytest.mark.parametrize("query", ["?protocol=2", "?protocol=3", "?protocol=3&legacy_responses=false"])
async def test_every_reply_format_of_redis_is_fanned_out(valkey: Valkey, query: str) -> None:
    async with running_hub(valkey, query=query) as harness:
        [watcher] = await begun(harness)
        harness.report("a", 2)
        await until(lambda: watcher.steps == [1, 2], "it is sent")
