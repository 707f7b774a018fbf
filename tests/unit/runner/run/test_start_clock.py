"""The parts of a run's start are added up and logged once, at the first step."""

import logging
import os

import pytest

from darkroom_contract.plan import plan_generation
from darkroom_contract.progress import Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.progress_events import NullSender
from darkroom_runner.run.start_clock import StartClock, StartPart


class Time:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_line_lists_the_parts_in_the_order_in_which_they_ended(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    clock = StartClock(98.0, time)
    for part, seconds in ((StartPart.INTERPRETER, 0), (StartPart.WEIGHTS, 1.5)):
        time.now += seconds
        clock.end(part)
    time.now += 0.25

    clock.end_first_step()

    assert caplog.messages == ["first step after 3.75 s: interpreter 2.00 s, weights 1.50 s, first step 0.25 s"]


def test_part_that_ends_twice_counts_as_the_sum(time: Time) -> None:
    clock = StartClock(clock=time)
    for part in (StartPart.IMPORTS, StartPart.INPUT, StartPart.IMPORTS):
        time.now += 1
        clock.end(part)

    assert clock.seconds == {StartPart.IMPORTS: 2, StartPart.INPUT: 1}


def test_nothing_counts_after_the_first_step(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    clock = StartClock(clock=time)
    clock.end_first_step()
    time.now += 9

    clock.end(StartPart.WEIGHTS)
    clock.end_first_step()

    assert clock.seconds == {StartPart.FIRST_STEP: 0}
    assert len(caplog.messages) == 1


def test_clock_of_the_container_counts_from_the_start_of_the_parent_process() -> None:
    clock = StartClock.of_container()
    clock.end(StartPart.INTERPRETER)

    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    with open(f"/proc/{os.getppid()}/stat") as file:
        started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    assert clock.seconds[StartPart.INTERPRETER] == pytest.approx(uptime - started, abs=0.5)


def test_progress_ends_the_start_with_the_first_denoising_step(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    start = StartClock(clock=time)
    plan = plan_generation(GenerateJobSpec.from_dict({"prompt": "a dog"}))
    tracker = ProgressTracker(1, plan, NullSender(), start=start)

    tracker.enter(Stage.DOWNLOADING, 2)
    tracker.step(1)
    assert start.seconds == {}
    tracker.enter(Stage.DENOISING, 2)
    tracker.step(1)
    tracker.step(2)

    assert list(start.seconds) == [StartPart.FIRST_STEP]
    assert sum(line.startswith("first step after") for line in caplog.messages) == 1
