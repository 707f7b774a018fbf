"""Decides after each run whether the process may carry out another one. Used by `warm_runs`.

The process ends after `DARKROOM_MAX_RUNS` runs, after a CUDA error or an allocation that failed on the card, and when a
run leaves more memory in use than the first one did: a quarter more and 512 MiB, not counting the base models that are
kept. A failed run and SIGTERM end it in any case.
"""

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

from darkroom_runner.run.gc_control import collect_garbage

GROWTH_FACTOR = 1.25
GROWTH_BYTES = 512 * 2**20
"""Libraries that only some runs import, such as those of trainings, take up to about 300 MB."""
_GIB = 2**30


@dataclass(frozen=True)
class MemoryInUse:
    """Bytes without kept base models: of the process, and of its tensors on the card."""

    resident: int
    on_card: int = 0

    def growth_fault(self, first: "MemoryInUse") -> str | None:
        pairs = (("resident", first.resident, self.resident), ("GPU", first.on_card, self.on_card))
        for what, before, now in pairs:
            if now > GROWTH_FACTOR * before + GROWTH_BYTES:
                return f"{now / _GIB:.1f} GiB of {what} memory are in use, {before / _GIB:.1f} GiB after the first run"
        return None


class Fitness:
    """Counts the runs, and compares the memory after each with that after the first."""

    def __init__(self, max_runs: int) -> None:
        self._max_runs = max_runs
        self._runs = 0
        self._first: MemoryInUse | None = None

    def fault(self, kept_bytes: int, kept_on_card: int) -> str | None:
        """Why the process can't carry out another run, as part of a sentence; None if it can.

        Call once after each run that ended well, with the sizes of the kept base models.
        """
        self._runs += 1
        if self._runs >= self._max_runs:
            return f"it has carried out {self._runs} runs"
        # A first run that keeps no model, such as a training, has loaded one among the objects that were then frozen.
        collect_garbage(thorough=self._runs == 1 and kept_bytes + kept_on_card == 0)
        if (fault := _card_fault()) is not None:
            return fault
        # Weights that are still mapped from their files are not anonymous memory: the difference can be below 0.
        memory = MemoryInUse(max(0, resident_bytes() - kept_bytes), max(0, _bytes_on_card() - kept_on_card))
        self._first = self._first or memory
        return memory.growth_fault(self._first)


def resident_bytes() -> int:
    """Anonymous memory of this process that is resident, after unused heap was returned to the system."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _card_fault() -> str | None:
    """CUDA reports an error of a kernel with a later call, and of every call after it."""
    if not _uses_cuda():
        return None
    torch = sys.modules["torch"]
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        return f"the GPU reports an error: {error}"
    failed = torch.cuda.memory_stats().get("num_ooms", 0)
    return "GPU memory ran out during the run" if failed else None


def _bytes_on_card() -> int:
    return int(sys.modules["torch"].cuda.memory_allocated()) if _uses_cuda() else 0


def _uses_cuda() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
