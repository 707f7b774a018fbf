"""The queue of Events that wait to be posted: its order, and a cost that does not grow with their number."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.operator_snapshots import NOW

from darkroom_contract.event_reasons import EventReason
from darkroom_operator.telemetry.event_queue import EventQueue, Key, Series


def series(name: str, reason: EventReason = EventReason.ADMITTED, *, due: float = 0, posted: bool = False) -> Series:
    return Series((name,), {"reason": reason}, NOW + timedelta(seconds=due), due=due, posted=posted)


def names(queue: EventQueue) -> list[str]:
    return [each.key[0] for each in queue]


def test_an_event_that_waits_is_not_added_twice() -> None:
    queue = EventQueue()
    for posted in (False, True):
        queue.add(series("a", posted=posted))
    assert (len(queue), names(queue), ("a",) in queue) == (1, ["a"], True)


def test_an_event_that_could_not_be_posted_is_first_again() -> None:
    queue = EventQueue()
    queue.add(series("a"))
    queue.add(series("b", due=1))
    queue.put_back(queue.take_of_runs())
    assert queue.take_of_runs().key == ("a",)


def test_updates_and_new_events_are_taken_as_they_are_due() -> None:
    queue = EventQueue()
    queue.add(series("late update", due=60, posted=True))
    queue.add(series("early update", due=3, posted=True))
    for due in (2, 4):
        queue.add(series(f"new {due}", due=due))
    assert queue.due_of_runs() == 2
    assert [queue.take_of_runs().key[0] for _ in range(4)] == ["new 2", "early update", "new 4", "late update"]
    assert queue.due_of_runs() is None


def test_new_jobs_are_dropped_first_and_then_the_oldest_events() -> None:
    queue = EventQueue()
    queue.add(series("update", due=60, posted=True))
    queue.add(series("run"))
    queue.add(series("new job", EventReason.QUEUED))
    left = []
    while len(queue):
        queue.drop_oldest()
        left.append(names(queue))
    assert left == [["run", "update"], ["update"], []]


def test_an_empty_queue_has_nothing_to_take() -> None:
    for take in (EventQueue().take_of_runs, EventQueue().take_of_new_jobs):
        with pytest.raises(LookupError):
            take()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=40))
def test_every_event_is_taken_once_in_the_order_of_its_due_time(added: list[tuple[int, bool, bool]]) -> None:
    queue, due = EventQueue(), 0.0
    for number, (later, posted, is_new_job) in enumerate(added):
        due = due if posted else due + later
        reason = EventReason.QUEUED if is_new_job else EventReason.ADMITTED
        queue.add(series(str(number), reason, due=float(later) if posted else due, posted=posted))
    taken = []
    while (due_next := queue.due_of_runs()) is not None:
        taken.append(queue.take_of_runs())
        assert taken[-1].due == due_next
    assert [each.due for each in taken] == sorted(each.due for each in taken)
    while queue.due_of_new_jobs() is not None:
        taken.append(queue.take_of_new_jobs())
    assert (len(queue), sorted(int(each.key[0]) for each in taken)) == (0, list(range(len(added))))


@dataclass
class CountedReads:
    """Entries of a queue that were looked at."""

    count: int = 0


def test_taking_one_of_ten_thousand_new_jobs_looks_at_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = CountedReads()

    class Counted(OrderedDict[Key, Series]):
        def values(self):  # type: ignore[no-untyped-def]
            for each in super().values():
                reads.count += 1
                yield each

    monkeypatch.setattr("darkroom_operator.telemetry.event_queue.OrderedDict", Counted)
    queue = EventQueue()
    for number in range(10_000):
        queue.add(series(str(number), EventReason.QUEUED))
    reads.count = 0
    for _ in range(100):
        assert queue.due_of_new_jobs() is not None
        assert queue.due_of_runs() is None
        queue.take_of_new_jobs()
    assert reads.count == 100
