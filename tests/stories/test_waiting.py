"""Somebody waits: they see how many are before them, for whom they wait, and when their turn should come."""

from datetime import datetime
from typing import Any

from support.darkroom_up import Darkroom, wait_for


def test_waiting_jobs_are_told_when_they_should_start(darkroom: Darkroom) -> None:
    earlier = darkroom.generate(prompt="a red circle", steps=1)
    darkroom.wait_for_phase(earlier, "Succeeded")
    long = darkroom.generate(prompt="a red circle", steps=200, count=8, cache_profile="Disabled")
    waiting = [darkroom.generate(prompt=prompt, steps=1) for prompt in ("a blue circle", "a red square")]

    first, second = wait_for(lambda: _told_in_order(darkroom, waiting), "both are told when they start", 120)

    assert (first["position"], second["position"]) == (0, 1)
    assert {first["waiting_for"], second["waiting_for"]} == {f"GenerateJob/{long}"}
    header, row = darkroom.kubectl("get", "generatejob", waiting[0]).splitlines()
    assert datetime.fromisoformat(row[header.index("STARTS") :].split()[0])
    for name in (*waiting, long):
        darkroom.http.delete(f"/jobs/{name}")


def _told_in_order(darkroom: Darkroom, task_ids: list[str]) -> list[dict[str, Any]]:
    """What the tasks are told, by place; nothing until the later one is told a later start."""
    told = [darkroom.job(task_id).get("queue", {}) for task_id in task_ids]
    if not all("estimated_start" in each for each in told):
        return []
    starts = sorted(told, key=lambda each: datetime.fromisoformat(each["estimated_start"]))
    return starts if [each["position"] for each in starts] == list(range(len(task_ids))) else []
