"""Waiting jobs show their queue position, the running job, and the estimated start."""

from datetime import datetime
from typing import Any

from support.darkroom_up import Darkroom, wait_for


def test_waiting_jobs_show_their_estimated_start(darkroom: Darkroom) -> None:
    earlier = darkroom.generate(prompt="a red circle", steps=1)
    darkroom.wait_for_phase(earlier, "Succeeded")
    long = darkroom.generate(prompt="a red circle", steps=200, count=8, cache_profile="Disabled")
    waiting = [darkroom.generate(prompt=prompt, steps=1) for prompt in ("a blue circle", "a red square")]

    first, second = wait_for(lambda: _in_order_of_start(darkroom, waiting), "both have an estimated start", 120)

    assert (first["position"], second["position"]) == (0, 1)
    assert {first["waiting_for"], second["waiting_for"]} == {f"GenerateJob/{long}"}
    header, row = darkroom.kubectl("get", "generatejob", waiting[0]).splitlines()
    assert datetime.fromisoformat(row[header.index("STARTS") :].split()[0])
    for name in (*waiting, long):
        darkroom.http.delete(f"/jobs/{name}")


def _in_order_of_start(darkroom: Darkroom, task_ids: list[str]) -> list[dict[str, Any]]:
    """The queue entries of the tasks by start; None until the later one has a later start."""
    entries = [darkroom.job(task_id).get("queue", {}) for task_id in task_ids]
    if not all("estimated_start" in each for each in entries):
        return []
    starts = sorted(entries, key=lambda each: datetime.fromisoformat(each["estimated_start"]))
    return starts if [each["position"] for each in starts] == list(range(len(task_ids))) else []
