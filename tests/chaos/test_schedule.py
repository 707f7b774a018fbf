"""A seed that failed can be replayed: the schedule is the same, and it is one worth running."""

import pytest
from support.chaos_schedule import RUNNING_PODS, Deed, Victim, draw_schedule


def test_a_seed_gives_the_same_schedule_again() -> None:
    assert draw_schedule(7, 60) == draw_schedule(7, 60)
    assert str(draw_schedule(7, 60)) == str(draw_schedule(7, 60))


def test_another_seed_gives_another_schedule() -> None:
    assert draw_schedule(7, 60).events != draw_schedule(8, 60).events


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("job_count", [7, 60])
def test_a_schedule_can_be_played(seed: int, job_count: int) -> None:
    """Every job is submitted once and first, everything is killed, runs are evicted, and nobody stays suspended."""
    schedule = draw_schedule(seed, job_count)
    deeds = [(event.deed, event.target) for event in schedule.events]
    assert [event.at_seconds for event in schedule.events] == sorted(event.at_seconds for event in schedule.events)
    assert {target for deed, target in deeds if deed is Deed.KILL} == set(Victim)
    assert sorted(target for deed, target in deeds if deed is Deed.SUBMIT) == sorted(schedule.jobs)
    for name in schedule.jobs:
        own = [deed for deed, target in deeds if target == name]
        assert own in ([Deed.SUBMIT], [Deed.SUBMIT, Deed.SUSPEND, Deed.RESUME], [Deed.SUBMIT, Deed.DELETE])
    assert deeds.count((Deed.EVICT, RUNNING_PODS)) == job_count // 3
    assert schedule.deleted
    assert any(deed is Deed.SUSPEND for deed, _ in deeds)
