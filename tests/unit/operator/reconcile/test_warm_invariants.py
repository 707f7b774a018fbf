"""The invariants of test_invariants.py with runners that report by Redis, stay idle, take over runs, or leave at any
moment. Outcomes in Redis are read late, or never.
"""

from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from support.cluster_machine import OPERATORS, OneAtATime, TwoSlots, settings_of

WARM: dict[str, Any] = {"redis_url": "redis://localhost:1", "warm_seconds": 60.0}


class WarmRunners(OneAtATime):
    """Two operators, one slot, and processes that outlive their runs."""

    operator_settings: ClassVar[dict[str, Any]] = WARM

    @precondition(lambda self: self.node.warm())
    @rule(data=st.data(), what=st.sampled_from(["report", "poll", "poll", "leave"]))
    def a_warm_runner_does_something(self, data: st.DataObject, what: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.node.warm())))
        if not self.node.has_ended(name):
            {"report": self.node.report, "poll": self.node.poll, "leave": self.node.leave}[what](name)

    @precondition(lambda self: self.node.published)
    @rule(operator=OPERATORS)
    def an_operator_reads_outcomes(self, operator: int) -> None:
        self.operators[operator].read_outcomes(self.node.published)

    @precondition(lambda self: self.node.live())
    @rule(operator=OPERATORS, pauses=st.integers(0, 12), leaves=st.booleans())
    def a_run_ends_well_and_its_pod_is_handed_over(self, operator: int, pauses: int, leaves: bool) -> None:
        """With the operator paused anywhere, and perhaps the process gone at that moment."""
        self.operators[operator].rest()
        for name in self.node.live():
            self.node.start(name)
        for name in self.node.warm():
            self.node.poll(name)
            self.node.report(name)
        self.operators[operator].see_all()
        self.operators[operator].read_outcomes(self.node.published)
        self.operators[operator].step(pauses)
        for name in self.node.warm():
            if leaves:
                self.node.leave(name)


class WarmRunnersInTwoSlots(WarmRunners, TwoSlots):
    """The same with two slots."""


TestWarmRunners = WarmRunners.TestCase
TestWarmRunners.settings = settings_of(100, 40)
TestWarmRunnersInTwoSlots = WarmRunnersInTwoSlots.TestCase
TestWarmRunnersInTwoSlots.settings = settings_of(50, 40)

pytestmark = pytest.mark.timeout(3600)
