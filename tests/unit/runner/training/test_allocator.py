"""Memory that a step frees stays in the process for the next step, and is returned after the training."""

import json
import resource
import subprocess
import sys

import pytest

BLOCKS, BLOCK_BYTES = 1024, 2**16
PAGES = BLOCKS * BLOCK_BYTES // resource.getpagesize()

# In a new process: this one has free memory in its heap already.
STEPS = f"""
import json, resource
from contextlib import nullcontext
from types import SimpleNamespace
from darkroom_runner.training.allocator import freed_memory_kept

def resident_bytes():
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[1]) * resource.getpagesize()

def page_faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [b"x" * {BLOCK_BYTES} for _ in range({BLOCKS})]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

resident = resident_bytes()
with CONTEXT:
    for _ in range(3):
        faults = page_faults_of_a_step()
print(json.dumps({{"faults": faults, "left": resident_bytes() - resident}}))
"""
ON_CPU = 'freed_memory_kept(SimpleNamespace(type="cpu"))'
ON_A_CARD = 'freed_memory_kept(SimpleNamespace(type="cuda"))'


def after_three_steps(context: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", STEPS.replace("CONTEXT", context)], capture_output=True, text=True, check=True
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_a_step_has_the_memory_of_the_one_before() -> None:
    assert after_three_steps(ON_CPU)["faults"] < PAGES / 10


@pytest.mark.parametrize("context", ["nullcontext()", ON_A_CARD])
def test_glibc_decides_elsewhere(context: str) -> None:
    assert after_three_steps(context)["faults"] > PAGES / 2


def test_unused_memory_is_returned_after_the_training() -> None:
    assert after_three_steps(ON_CPU)["left"] < BLOCKS * BLOCK_BYTES / 10
