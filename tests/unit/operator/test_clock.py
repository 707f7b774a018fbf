"""The API server's clock, as measured by the Date headers of its responses."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom_operator.clock import ServerClock

SERVER = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


class Machine:
    """An operator's machine: its own clock is wrong, and time passes when the test says so."""

    def __init__(self, ahead: timedelta) -> None:
        self.seconds = 5000.0
        self.server = SERVER
        self.clock = ServerClock(lambda: self.seconds, lambda: (self.server + ahead).timestamp())

    def ask(self, before: float, after: float) -> None:
        """A request that takes `before` seconds until the server dates its response, and `after` seconds back."""
        sent = self.seconds
        self.pass_time(before)
        date = format_datetime(self.server.replace(microsecond=0), usegmt=True)
        self.pass_time(after)
        self.clock.observe(date, sent)

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.server += timedelta(seconds=seconds)

    @property
    def error_seconds(self) -> float:
        return abs((self.clock.now() - self.server).total_seconds())


@pytest.mark.parametrize("ahead", [timedelta(minutes=15), timedelta(minutes=-15), timedelta(days=-9000), timedelta()])
def test_one_response_corrects_a_wrong_clock_to_within_a_second(ahead: timedelta) -> None:
    machine = Machine(ahead)
    machine.ask(0.01, 0.01)
    assert machine.error_seconds <= 0.51
    machine.pass_time(3600)
    assert machine.error_seconds <= 0.51


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 100)), min_size=1, max_size=20))
def test_the_error_is_never_larger_than_the_best_response_allows(answers: list[tuple[float, float, float]]) -> None:
    machine = Machine(timedelta(minutes=15))
    for before, after, pause in answers:
        machine.pass_time(pause)
        machine.ask(before, after)
    best = min(before + after for before, after, _ in answers)
    assert machine.error_seconds <= (best + 1) / 2 + 1e-3


def test_many_responses_measure_it_more_precisely_than_whole_seconds() -> None:
    machine = Machine(timedelta(minutes=15))
    for _ in range(200):
        machine.ask(0.005, 0.005)
        machine.pass_time(0.137)
    assert machine.error_seconds < 0.1


@given(st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 2)), min_size=1, max_size=30))
def test_it_never_runs_backwards(answers: list[tuple[float, float, float]]) -> None:
    """A deadline that was reached stays reached, whatever response comes later."""
    machine = Machine(timedelta())
    machine.ask(0.0, 0.0)
    before = machine.clock.now()
    for sent, received, pause in answers:
        machine.pass_time(pause)
        machine.ask(sent, received)
        now = machine.clock.now()
        assert now >= before
        before = now


def test_a_server_whose_clock_is_set_is_followed() -> None:
    machine = Machine(timedelta())
    machine.ask(0.01, 0.01)
    machine.server -= timedelta(hours=1)
    machine.ask(0.01, 0.01)
    machine.ask(0.01, 0.01)
    assert machine.error_seconds <= 0.51


def test_a_single_response_that_contradicts_all_others_is_ignored() -> None:
    """A proxy may answer with its own clock."""
    machine = Machine(timedelta())
    for skew in (timedelta(), timedelta(hours=2), timedelta(), timedelta(hours=-3)):
        machine.server += skew
        machine.ask(0.01, 0.01)
        machine.server -= skew
        assert machine.error_seconds <= 0.51


@pytest.mark.parametrize("date", [None, "", "soon", "2026-11-28"])
def test_a_response_without_a_date_changes_nothing(date: str | None) -> None:
    machine = Machine(timedelta())
    machine.clock.observe(date, machine.seconds)
    assert machine.error_seconds < 1e-3
