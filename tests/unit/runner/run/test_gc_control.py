"""The garbage collector is paused during loading and works normally afterwards."""

import gc
import json
import subprocess
import sys

import pytest

from darkroom_runner.run.gc_control import paused_gc

FREEZES = """
import gc, json
from darkroom_runner.run.gc_control import paused_gc

before = gc.get_freeze_count()
with paused_gc():
    enabled_inside = gc.isenabled()
    kept = [[] for _ in range(10_000)]
print(json.dumps([before, enabled_inside, gc.isenabled(), gc.get_freeze_count() >= len(kept)]))
"""


def test_collection_is_paused_inside_and_enabled_afterwards() -> None:
    # In a new process: here, the modules are frozen already, so nothing else would be.
    run = subprocess.run([sys.executable, "-c", FREEZES], capture_output=True, text=True, check=True)
    before, enabled_inside, enabled_afterwards, is_all_frozen = json.loads(run.stdout)
    assert (before, enabled_inside, enabled_afterwards, is_all_frozen) == (0, False, True, True)


def test_collection_is_enabled_after_a_failure() -> None:
    with pytest.raises(OSError, match="broken"), paused_gc():
        raise OSError("broken")
    assert gc.isenabled()
