"""Everything is killed at once and restarted: nothing is lost, and the interrupted run is retried."""

from collections.abc import Callable

import httpx
from support.darkroom_up import Darkroom, wait_for

from darkroom_local.node.journal import overlapping_runs


def test_killed_cluster_loses_nothing(start_darkroom: Callable[[], Darkroom]) -> None:
    darkroom = start_darkroom()
    done = darkroom.generate(prompt="a red circle on a navy background", steps=2)
    darkroom.wait_for_phase(done, "Succeeded")
    running = darkroom.generate(prompt="a blue square", steps=80, count=4, cache_profile="Disabled")
    waiting = darkroom.generate(prompt="a green heart", steps=2)
    darkroom.wait_for_phase(running, "Running")

    darkroom.kill()
    wait_for(lambda: darkroom.pids() == [], "everything died with the parent")
    darkroom.start()

    [image] = darkroom.http.get("/images", params={"task_id": done}).json()["images"]
    assert httpx.get(image["url"], trust_env=False).headers["content-type"] == "image/png"
    assert darkroom.wait_for_phase(running, "Succeeded")["attempts"] == 2
    assert darkroom.wait_for_phase(waiting, "Succeeded")["attempts"] == 1
    assert overlapping_runs(darkroom.record()) == []


def test_ctrl_c_stops_everything_in_order(start_darkroom: Callable[[], Darkroom]) -> None:
    darkroom = start_darkroom()
    assert darkroom.stop() == 0
    assert darkroom.pids() == []
