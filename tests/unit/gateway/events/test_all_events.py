"""`GET /v1/events`: one stream for all jobs, rendered once for all watchers."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.event_watchers import until
from support.namespace_events import NamespaceHarness, reported_steps, running_follower, states
from support.valkey import Valkey

from darkroom_contract.names import Kind
from darkroom_gateway.errors import TooManyStreamsError
from darkroom_gateway.events import hub as event_hub
from darkroom_gateway.events import job_changes, namespace_follower, ring
from darkroom_gateway.events.ring import Selection


@pytest.fixture
async def harness(valkey: Valkey) -> AsyncIterator[NamespaceHarness]:
    async with running_follower(valkey) as harness:
        yield harness


async def test_changes_and_progress_of_all_jobs_are_sent_in_order(harness: NamespaceHarness) -> None:
    watcher = await harness.watch_all()
    harness.put("a", "Queued", queue={"position": 0})
    await until(lambda: states(watcher) == [("a", "Queued")], "the new job is sent")
    harness.put("a", "Running")
    await until(lambda: len(states(watcher)) == 2, "its start is sent")
    harness.report("a", 1)
    harness.report("a", 2)
    harness.put("a", "Succeeded")
    harness.put("b", "Queued", Kind.TRAIN, "my-dog")
    await until(lambda: len(states(watcher)) == 4, "its end is sent")
    harness.remove("a")
    await until(lambda: "deleted" in watcher.names, "its deletion is sent")

    end = watcher.events.index(("job", {"id": "a", "status": "Succeeded", "position": None, "step": None}))
    assert reported_steps(watcher) == [1, 2]
    assert max(index for index, (name, _) in enumerate(watcher.events) if name == "progress") < end
    assert watcher.data("deleted") == [{"id": "a", "kind": "GenerateJob"}]
    assert len(watcher.ids) == len(watcher.events)


async def test_job_is_sent_again_when_it_has_another_finished_image(harness: NamespaceHarness) -> None:
    """Progress alone comes from Redis, and is not sent twice."""

    def put(step: int, *seeds: int) -> None:
        images = [{"seed": seed, "bytes": 3, "sha256": "0" * 64} for seed in seeds]
        progress = {"stage": "Denoising", "step": step, "lastUpdatedTime": "2026-01-02T03:04:05Z"}
        harness.put("a", "Running", progress=progress | ({"finishedImages": images} if images else {}))

    put(1)
    watcher = await harness.watch_all()
    for step, seeds in ((2, ()), (3, (0,)), (4, (0,)), (5, (0, 1))):
        put(step, *seeds)
        harness.put(f"after-{step}", "Queued")
        await until(lambda step=step: (f"after-{step}", "Queued") in states(watcher), "the change is seen")

    assert [each["step"] for each in watcher.data("job") if each["id"] == "a"] == [3, 5]


async def test_event_is_rendered_once_for_fifty_watchers_on_one_connection(harness: NamespaceHarness) -> None:
    harness.put("a", "Running")
    watchers = [await harness.watch_all() for _ in range(50)]
    reads, rendered = harness.valkey.calls("xread"), harness.rendered
    for step in range(1, 6):
        harness.report("a", step)
    harness.put("b", "Queued")
    await until(lambda: all(reported_steps(each) == [1, 2, 3, 4, 5] for each in watchers), "all got the progress")
    await until(lambda: all(states(each) == [("b", "Queued")] for each in watchers), "all got the job")

    assert harness.rendered - rendered == 1
    assert len(harness.valkey.other_connections()) == 1
    assert harness.valkey.calls("xread") - reads < 50


async def test_watcher_of_all_jobs_shares_the_read_stream_with_those_of_a_job(harness: NamespaceHarness) -> None:
    harness.put("a", "Running")
    harness.report("a", 1)
    harness.jobs["a"] = harness.store.read(harness.store.get(Kind.GENERATE, "a"))  # type: ignore[arg-type]
    one = harness.watch("a")
    await until(lambda: one.steps == [1], "it has begun")
    everything = await harness.watch_all()
    harness.report("a", 2)
    await until(lambda: reported_steps(everything) == [2], "the progress from its beginning is sent")

    await until(lambda: one.steps == [1, 2], "also to the other one")
    assert len(harness.valkey.other_connections()) == 1


async def test_filters_select_events_by_kind_and_model(harness: NamespaceHarness) -> None:
    trainings = await harness.watch_all(selection=Selection(kind=Kind.TRAIN))
    of_dog = await harness.watch_all(selection=Selection(model_id="my-dog"))
    everything = await harness.watch_all()
    harness.put("a", "Queued", Kind.TRAIN, "my-dog")
    harness.put("b", "Queued", model_id="my-dog@200")
    harness.put("c", "Queued", model_id="my-dogs")
    harness.put("d", "Queued")
    await until(lambda: len(states(everything)) == 4, "all jobs are sent")
    harness.remove("b")
    await until(lambda: "deleted" in everything.names, "all is sent")

    await until(lambda: "deleted" in of_dog.names, "the filtered stream is complete")
    assert [id_ for id_, _ in states(trainings)] == ["a"]
    assert [id_ for id_, _ in states(of_dog)] == ["a", "b"]
    assert trainings.data("deleted") == []


async def test_reconnecting_watcher_gets_what_it_has_missed(harness: NamespaceHarness) -> None:
    first = await harness.watch_all()
    harness.put("a", "Running")
    await until(lambda: len(first.events) == 1, "it has begun")
    first.gone.set()
    await until(lambda: not harness.places.taken, "it has left")
    for step in (1, 2):
        harness.report("a", step)
    harness.put("b", "Queued")
    back = await harness.watch_all(first.ids[-1])
    await until(lambda: len(back.events) == 3, "it got all")

    assert (reported_steps(back), states(back)) == ([1, 2], [("b", "Queued")])


async def test_unknown_last_event_id_begins_with_a_reset(harness: NamespaceHarness) -> None:
    first = await harness.watch_all()
    harness.put("a", "Queued")
    await until(lambda: len(first.events) == 1, "it has begun")
    number = first.ids[0].partition("-")[0]

    for unknown in ("1795501214886-0", f"{number}-2", "9" * 20 + "-" + "9" * 20):
        back = await harness.watch_all(unknown)
        await until(lambda back=back: back.names == ["reset"], "it has to list again")
    harness.put("b", "Queued")
    await until(lambda: states(back) == [("b", "Queued")], "it continues")
    known = await harness.watch_all(first.ids[0])
    await until(lambda: states(known) == [("b", "Queued")], "a known id continues")


async def test_slow_watcher_gets_a_reset_and_continues(
    harness: NamespaceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "RING_EVENTS", 10)
    slow, quick = await harness.watch_all(takes=False), await harness.watch_all()
    for number in range(30):
        harness.put(f"job-{number}", "Queued")
        await until(lambda number=number: len(quick.events) == number + 1, "the other gets each")
    slow.takes.set()
    await until(lambda: slow.names == ["reset"], "it has to list again")
    harness.put("late", "Queued")

    await until(lambda: states(slow) == [("late", "Queued")], "it continues")


async def test_progress_before_the_stream_and_of_an_earlier_run_is_not_repeated(harness: NamespaceHarness) -> None:
    harness.put("a", "Running")
    harness.report("a", 1)
    watcher = await harness.watch_all()
    harness.report("a", 2)
    await until(lambda: reported_steps(watcher) == [2], "only the new step is sent")
    harness.put("a", "Queued")
    await until(lambda: states(watcher) == [("a", "Queued")], "the run has ended")
    harness.put("a", "Starting", attempts=2)
    harness.report("a", 1)
    await until(lambda: len(reported_steps(watcher)) == 2, "the next run has begun")

    assert reported_steps(watcher) == [2, 1]
    assert states(watcher) == [("a", "Queued"), ("a", "Starting")]


async def test_progress_in_the_status_is_not_sent_twice(harness: NamespaceHarness) -> None:
    watcher = await harness.watch_all()
    for step in range(3):
        progress = {"stage": "Denoising", "step": step, "lastUpdatedTime": "2026-01-02T03:04:05Z"}
        harness.put("a", "Running", progress=progress)
        await until(lambda: len(watcher.events) >= 1, "the start is sent")
    harness.put("b", "Queued")
    await until(lambda: len(states(watcher)) >= 2, "a later job is sent")

    assert states(watcher) == [("a", "Running"), ("b", "Queued")]


async def test_too_many_changes_at_once_become_a_reset(
    harness: NamespaceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_changes, "MAX_WAITING", 5)
    watcher = await harness.watch_all()
    for number in range(6):
        harness.put(f"job-{number}", "Queued")
    await until(lambda: "reset" in watcher.names, "it has to list again")
    harness.put("a", "Running")
    await until(lambda: ("a", "Running") in states(watcher), "it continues")


async def test_deletion_of_a_running_job_follows_its_progress(harness: NamespaceHarness) -> None:
    watcher = await harness.watch_all()
    harness.put("a", "Running")
    await until(lambda: states(watcher) == [("a", "Running")], "it has begun")
    harness.report("a", 1)
    harness.remove("a")
    await until(lambda: "deleted" in watcher.names, "its deletion is sent")

    assert watcher.names == ["job", "progress", "deleted"]


async def test_idle_stream_is_pinged_with_its_position(
    harness: NamespaceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace_follower, "PING_SECONDS", 0.2)
    watcher = await harness.watch_all()
    harness.put("a", "Queued")
    await until(lambda: len(watcher.ids) == 1, "the job is sent")
    before = watcher.pings

    await until(lambda: watcher.pings >= before + 3, "it was pinged")

    assert watcher.ping_ids[-3:] == watcher.ids * 3


async def test_watchers_that_leave_leave_nothing_behind(
    harness: NamespaceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace_follower, "LINGER_SECONDS", 0.2)
    monkeypatch.setattr(event_hub, "LINGER_SECONDS", 0.2)
    before = asyncio.all_tasks()
    harness.put("a", "Running")
    watchers = [await harness.watch_all() for _ in range(3)]
    assert harness.places.taken == 3
    for each in watchers[:2]:
        each.gone.set()
    watchers[2].fails = True
    harness.put("b", "Queued")
    await until(lambda: asyncio.all_tasks() <= before, "no task is left")

    assert harness.places.taken == 0
    again = await harness.watch_all()
    harness.put("c", "Queued")
    await until(lambda: states(again) == [("c", "Queued")], "the next watcher is served")


async def test_stopping_gateway_ends_the_stream_after_its_events(harness: NamespaceHarness) -> None:
    watcher = await harness.watch_all()
    harness.put("a", "Queued")
    harness.shutdown.streams_end.set()
    await until(lambda: "end" in watcher.names, "it has ended")

    assert watcher.events[-1] == ("end", {"reason": "GatewayStopping"})
    assert states(watcher) == [("a", "Queued")]


async def test_streams_of_all_jobs_count_for_the_limit(valkey: Valkey) -> None:
    async with running_follower(valkey, max_watchers=1) as harness:
        watcher = await harness.watch_all()
        with pytest.raises(TooManyStreamsError, match="its limit of 1 event streams"):
            await harness.watch_all()
        watcher.gone.set()
        await until(lambda: not harness.places.taken, "its place is free")
        await harness.watch_all()
