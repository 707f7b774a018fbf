"""When a process can't carry out another run."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from darkroom_runner.run import fitness
from darkroom_runner.run.fitness import Fitness, MemoryInUse, resident_bytes

GIB = 2**30


@pytest.mark.parametrize(
    ("now", "fault"),
    [
        (MemoryInUse(GIB, GIB), None),
        (MemoryInUse(GIB + GIB // 4 + 2**29, GIB), None),
        (
            MemoryInUse(GIB + GIB // 4 + 2**29 + 1, GIB),
            "1.8 GiB of resident memory are in use, 1.0 GiB after the first",
        ),
        (MemoryInUse(GIB, 2 * GIB), "2.0 GiB of GPU memory are in use, 1.0 GiB after the first run"),
        (MemoryInUse(0, 0), None),
    ],
)
def test_memory_may_grow_by_a_quarter_and_512_mib(now: MemoryInUse, fault: str | None) -> None:
    found = now.growth_fault(MemoryInUse(GIB, GIB))

    assert found is None if fault is None else (found or "").startswith(fault)


def test_memory_that_a_run_leaves_behind_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitness, "GROWTH_FACTOR", 1.0)
    monkeypatch.setattr(fitness, "GROWTH_BYTES", 64 * 2**20)
    process = Fitness(max_runs=10)
    assert process.fault(0, 0) is None

    left = bytearray(b"1") * (256 * 2**20)
    assert "resident memory" in (process.fault(0, 0) or "")
    # Kept base models don't count.
    assert process.fault(len(left), 0) is None

    del left
    assert process.fault(0, 0) is None


def test_weights_that_are_mapped_from_their_files_do_not_look_like_growth() -> None:
    """They are kept, but no anonymous memory."""
    process = Fitness(max_runs=10)
    assert process.fault(40 * GIB, 0) is None
    assert process.fault(40 * GIB, 0) is None


def test_unused_heap_does_not_count() -> None:
    before = resident_bytes()
    parts = [bytes(1000) for _ in range(100_000)]
    grown = resident_bytes()
    del parts

    assert grown - before > 90_000_000
    assert resident_bytes() - before < 30_000_000


def test_process_ends_after_max_runs() -> None:
    process = Fitness(max_runs=3)

    assert [process.fault(0, 0) for _ in range(3)] == [None, None, "it has carried out 3 runs"]


def card(error: str = "", failed: int = 0, allocated: int = 0) -> Any:
    """torch with a card."""

    def synchronize() -> None:
        if error:
            raise RuntimeError(error)

    return SimpleNamespace(
        cuda=SimpleNamespace(
            is_initialized=lambda: True,
            synchronize=synchronize,
            memory_stats=lambda: {"num_ooms": failed},
            memory_allocated=lambda: allocated,
        )
    )


@pytest.mark.parametrize(
    ("torch", "fault"),
    [
        (card(error="CUDA error: an illegal memory access"), "the GPU reports an error: CUDA error: an illegal memory"),
        (card(failed=1), "GPU memory ran out during the run"),
        (card(allocated=9 * GIB), "6.0 GiB of GPU memory are in use, 0.0 GiB after the first run"),
        (card(allocated=3 * GIB), ""),
    ],
    ids=["error", "allocation that failed", "tensors left", "kept model alone"],
)
def test_card_in_doubt_ends_the_process(monkeypatch: pytest.MonkeyPatch, torch: Any, fault: str) -> None:
    process = Fitness(max_runs=10)
    monkeypatch.setitem(sys.modules, "torch", card())
    assert process.fault(0, 0) is None

    monkeypatch.setitem(sys.modules, "torch", torch)

    assert (process.fault(0, 3 * GIB) or "").startswith(fault)
