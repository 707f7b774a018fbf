"""Previews on the event stream: passed on to watchers, and only the newest is replayed."""

from typing import Any

from support.event_watchers import HubHarness, begun, until


def preview_of(step: int) -> dict[str, Any]:
    return {"seed": 7, "step": step, "jpeg": "/9j/" + 8000 * "A"}


def previews(connection: Any) -> list[int]:
    return [data["preview"]["step"] for data in connection.data("progress") if "preview" in data]


async def test_a_watcher_gets_every_preview_as_it_arrives(harness: HubHarness) -> None:
    [connection] = await begun(harness)
    for step in (2, 3):
        harness.report("a", step, preview=preview_of(step))
        await until(lambda step=step: connection.steps[-1] == step, "it got the preview")

    assert previews(connection) == [2, 3]
    assert connection.data("progress")[-1]["preview"] == preview_of(3)


async def test_only_the_newest_preview_is_replayed(harness: HubHarness) -> None:
    [watching] = await begun(harness)
    for step in range(2, 8):
        harness.report("a", step, preview=preview_of(step))
    await until(lambda: watching.steps[-1] == 7, "it got all")

    late, reconnected = harness.watch("a"), harness.watch("a", "5-0")
    await until(lambda: late.steps[-1:] == reconnected.steps[-1:] == [7], "they got the past")

    assert late.steps == [1, *reconnected.steps] == list(range(1, 8))
    assert previews(late) == previews(reconnected) == [7]


async def test_progress_without_a_preview_has_no_such_field(harness: HubHarness) -> None:
    [connection] = await begun(harness)

    assert "preview" not in connection.data("progress")[0]
