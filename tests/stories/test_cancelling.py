"""Cancelling: a running job is deleted, and the next one starts once its process is gone."""

from support.darkroom_up import Darkroom, wait_for


def test_deleting_a_running_job_frees_its_slot_when_its_process_is_gone(darkroom: Darkroom) -> None:
    long = darkroom.generate(prompt="a red circle", steps=200, count=8, cache_profile="Disabled")
    short = darkroom.generate(prompt="a blue circle", steps=1)
    darkroom.wait_for_phase(long, "Running")
    place = {"position": 0, "waiting_for": f"GenerateJob/{long}"}
    wait_for(
        lambda: (darkroom.job(short).get("queue") or {}).items() >= place.items(), "the other one has its position"
    )

    answer = darkroom.http.delete(f"/jobs/{long}")
    assert answer.status_code in (202, 204)

    wait_for(lambda: darkroom.http.get(f"/jobs/{long}").status_code == 404, "the job is gone")
    darkroom.wait_for_phase(short, "Succeeded")
    first, second = darkroom.record()[-2:]
    assert first.ended is not None
    assert first.ended < second.began


def test_waiting_job_can_be_deleted_and_moved_up(darkroom: Darkroom) -> None:
    long = darkroom.generate(prompt="a red circle", steps=100, count=2, cache_profile="Disabled")
    darkroom.wait_for_phase(long, "Starting", "Running")
    waiting = [darkroom.generate(prompt=f"circle number {number}", steps=1) for number in range(3)]
    # Jobs created within the same second may be in any order.
    first, second, third = wait_for(lambda: _in_order(darkroom, waiting), "all three have their positions", 60)

    assert darkroom.http.delete(f"/jobs/{first}").status_code == 204
    darkroom.kubectl("patch", "generatejob", third, "--type=merge", "-p", '{"spec":{"priority":10}}')
    wait_for(lambda: _in_order(darkroom, [second, third]) == [third, second], "the order has changed", 60)

    darkroom.http.delete(f"/jobs/{long}")
    for task_id in (third, second):
        darkroom.wait_for_phase(task_id, "Succeeded")
    names = [run.labels["darkroom.dev/job-name"] for run in darkroom.record()]
    assert names[-2:] == [third, second]


def _in_order(darkroom: Darkroom, task_ids: list[str]) -> list[str]:
    """The tasks by queue position; None while a position is missing or taken twice."""
    places = {darkroom.job(task_id).get("queue", {}).get("position"): task_id for task_id in task_ids}
    return [places[place] for place in range(len(task_ids))] if set(places) == set(range(len(task_ids))) else []
