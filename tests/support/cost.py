"""What a call costs, as counts that the machine's load does not change."""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps_taken(function: Callable[[], object]) -> int:
    """The lines of Python and the calls of C functions that one call of `function` carries out in this thread."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"  # Again for each round of a loop, also of one that fits in a line.
        return trace

    def profile(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return count


def peak_bytes(function: Callable[[], object]) -> int:
    """The memory that one call of `function` allocates at most beyond what was in use before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
