"""A watch is stuck if it does not deliver what was read from the API server."""

from darkroom_operator.kube.objects import LEASES, PODS
from darkroom_operator.kube.watch_monitor import WatchMonitor


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_watch_that_delivers_what_was_read_works() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.expect(PODS, 7)
    watch_monitor.record_delivered(PODS, 8)
    clock.now = 1000.0
    assert watch_monitor.liveness_error() is None


def test_a_watch_that_delivers_nothing_for_too_long_is_stuck_although_others_work() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.record_delivered(PODS, 6)
    for version in range(7, 70):
        watch_monitor.expect(PODS, version)
        watch_monitor.record_delivered(LEASES, version)
        clock.now += 1.0
        assert (watch_monitor.liveness_error() is None) == (clock.now <= 60.0)
    assert watch_monitor.liveness_error() == "the watch of pods has not delivered version 7, which was read 63 s ago"


def test_nothing_is_expected_of_a_watch_without_reads() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.record_delivered(PODS, 6)
    watch_monitor.expect(LEASES, 0)
    clock.now = 1000.0
    assert watch_monitor.liveness_error() is None


def test_a_watch_that_catches_up_works_again() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.expect(PODS, 7)
    clock.now = 61.0
    assert watch_monitor.liveness_error() is not None
    watch_monitor.record_delivered(PODS, 7)
    assert watch_monitor.liveness_error() is None


def test_an_object_deleted_before_the_next_list_is_not_expected() -> None:
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


def test_a_request_without_an_answer_resets_all_expectations() -> None:
    clock = Clock()
    watch_monitor = WatchMonitor(60.0, clock)
    watch_monitor.expect(PODS, 7)
    watch_monitor.reset()
    clock.now = 1000.0
    watch_monitor.expect(PODS, 9)
    assert watch_monitor.liveness_error() is None
