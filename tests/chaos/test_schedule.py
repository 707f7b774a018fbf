"""A failed seed can be replayed: it gives the same schedule again."""

import pytest
from support.chaos_schedule import RUNNING_PODS, Action, Victim, draw_schedule


def test_same_seed_gives_same_schedule() -> None:
    assert draw_schedule(7, 60) == draw_schedule(7, 60)
    assert str(draw_schedule(7, 60)) == str(draw_schedule(7, 60))


def test_different_seed_gives_different_schedule() -> None:
    assert draw_schedule(7, 60).events != draw_schedule(8, 60).events


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("job_count", [7, 60])
def test_schedule_is_complete_and_in_order(seed: int, job_count: int) -> None:
    """Jobs are submitted once and first, every victim is killed, pods are evicted, and no job stays suspended."""
    schedule = draw_schedule(seed, job_count)
    actions = [(event.action, event.target) for event in schedule.events]
    assert [event.at_seconds for event in schedule.events] == sorted(event.at_seconds for event in schedule.events)
    assert {target for action, target in actions if action is Action.KILL} == set(Victim)
    assert sorted(target for action, target in actions if action is Action.SUBMIT) == sorted(schedule.jobs)
    for name in schedule.jobs:
        own = [action for action, target in actions if target == name]
        assert own in ([Action.SUBMIT], [Action.SUBMIT, Action.SUSPEND, Action.RESUME], [Action.SUBMIT, Action.DELETE])
    assert actions.count((Action.EVICT, RUNNING_PODS)) == job_count // 3
    assert schedule.deleted
    assert any(action is Action.SUSPEND for action, _ in actions)
