"""Whether watches are behind: what they have shown against what was read."""

from darkroom_operator.kube.objects import LEASES, PODS
from darkroom_operator.kube.watch_monitor import WatchMonitor


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_watch_that_shows_what_was_read_is_well() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.expect(PODS, 7)
    watch_monitor.record_delivered(PODS, 8)
    clock.now = 1000.0
    assert watch_monitor.liveness_error() is None


def test_one_that_does_not_for_too_long_is_stuck_though_others_go_on() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.record_delivered(PODS, 6)
    for version in range(7, 70):
        watch_monitor.expect(PODS, version)
        watch_monitor.record_delivered(LEASES, version)
        clock.now += 1.0
        assert (watch_monitor.liveness_error() is None) == (clock.now <= 60.0)
    assert watch_monitor.liveness_error() == "the watch of pods has not delivered version 7, which was read 63 s ago"


def test_nothing_is_asked_of_a_watch_of_which_nothing_was_read() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.record_delivered(PODS, 6)
    watch_monitor.expect(LEASES, 0)
    clock.now = 1000.0
    assert watch_monitor.liveness_error() is None


def test_one_that_catches_up_is_well_again() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.expect(PODS, 7)
    clock.now = 61.0
    assert watch_monitor.liveness_error() is not None
    watch_monitor.record_delivered(PODS, 7)
    assert watch_monitor.liveness_error() is None


def test_what_is_gone_by_the_next_list_need_not_be_shown() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.record_delivered(PODS, 5)
    watch_monitor.expect(PODS, 7)
    watch_monitor.cap_expected(PODS, 5)
    clock.now = 1000.0
    assert watch_monitor.liveness_error() is None
    watch_monitor.expect(PODS, 7)
    watch_monitor.cap_expected(PODS, 8)
    clock.now = 2000.0
    assert watch_monitor.liveness_error() is not None


def test_an_api_server_that_did_not_answer_excuses_what_came_before() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.expect(PODS, 7)
    watch_monitor.reset()
    clock.now = 1000.0
    watch_monitor.expect(PODS, 9)
    assert watch_monitor.liveness_error() is None
