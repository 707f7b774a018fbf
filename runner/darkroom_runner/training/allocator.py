"""Keeps glibc from returning memory to the kernel after every training step on the CPU. Called by session.py.

By default glibc unmaps what a step has freed at the end of the heap, and the next step gets it back page by page: one
page fault for each 4 KiB. See mallopt(3). Other C libraries are unchanged.
"""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""From malloc.h."""
KEPT_BYTES = 2**30
"""Free memory at the end of the heap that is kept. A step takes as much again, so the peak stays what it is."""
MAPPED_BYTES = 32 * 2**20
"""Larger blocks are mapped one by one and unmapped when they are freed: the highest value that glibc takes."""
TRIM_BYTES_AFTERWARDS = 2 * MAPPED_BYTES
"""What glibc itself ends up with after it has seen large blocks."""


@contextlib.contextmanager
def freed_memory_kept(device: "torch.device") -> Iterator[None]:
    """While it is open, up to `KEPT_BYTES` of freed memory stay in the process, except for blocks above `MAPPED_BYTES`.
    Afterwards what is unused is returned."""
    libc = ctypes.CDLL(None)
    if device.type != "cpu" or not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
    libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    try:
        yield
    finally:
        libc.mallopt(M_TRIM_THRESHOLD, TRIM_BYTES_AFTERWARDS)
        libc.malloc_trim(0)
