"""Invariants under any order of events in the state machine of support/cluster_machine.py.

A few seconds by default, with more than 5,000 steps; HYPOTHESIS_PROFILE=nightly runs for minutes, with 100,000.
"""

import pytest
from support.cluster_machine import OneAtATime, TwoSlots, settings_of

TestOneAtATime = OneAtATime.TestCase
TestOneAtATime.settings = settings_of(100, 40)
TestTwoSlots = TwoSlots.TestCase
TestTwoSlots.settings = settings_of(50, 40)

pytestmark = pytest.mark.timeout(3600)
