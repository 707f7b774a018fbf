"""Whether watches are behind: what they have shown against what was read."""

from darkroom_operator.kube.objects import LEASES, PODS
from darkroom_operator.kube.watch_monitor import WatchMonitor


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_watch_that_shows_what_was_read_is_well() -> None:
    clock = Clock()
    watches = WatchMonitor(60.0, clock)
    watches.expect(PODS, 7)
    watches.show(PODS, 8)
    clock.now = 1000.0
    assert watches.liveness_error() is None


def test_one_that_does_not_for_too_long_is_stuck_though_others_go_on() -> None:
    clock = Clock()
    watches = WatchMonitor(60.0, clock)
    watches.show(PODS, 6)
    for version in range(7, 70):
        watches.expect(PODS, version)
        watches.show(LEASES, version)
        clock.now += 1.0
        assert (watches.liveness_error() is None) == (clock.now <= 60.0)
    assert watches.liveness_error() == "the watch of pods has not shown version 7, which was read 63 s ago"


def test_nothing_is_asked_of_a_watch_of_which_nothing_was_read() -> None:
    clock = Clock()
    watches = WatchMonitor(60.0, clock)
    watches.show(PODS, 6)
    watches.expect(LEASES, 0)
    clock.now = 1000.0
    assert watches.liveness_error() is None


def test_one_that_catches_up_is_well_again() -> None:
    clock = Clock()
    watches = WatchMonitor(60.0, clock)
    watches.expect(PODS, 7)
    clock.now = 61.0
    assert watches.liveness_error() is not None
    watches.show(PODS, 7)
    assert watches.liveness_error() is None


def test_what_is_gone_by_the_next_list_need_not_be_shown() -> None:
    clock = Clock()
    watches = WatchMonitor(60.0, clock)
    watches.show(PODS, 5)
    watches.expect(PODS, 7)
    watches.expect_no_more(PODS, 5)
    clock.now = 1000.0
    assert watches.liveness_error() is None
    watches.expect(PODS, 7)
    watches.expect_no_more(PODS, 8)
    clock.now = 2000.0
    assert watches.liveness_error() is not None


def test_an_api_server_that_did_not_answer_excuses_what_came_before() -> None:
    clock = Clock()
    watches = WatchMonitor(60.0, clock)
    watches.expect(PODS, 7)
    watches.excuse()
    clock.now = 1000.0
    watches.expect(PODS, 9)
    assert watches.liveness_error() is None
