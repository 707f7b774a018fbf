"""Controls Python's cyclic garbage collector: paused while libraries and models are loaded, run between runs."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_gc() -> Iterator[None]:
    """Disable collection inside the context, then freeze all objects that exist: later collections skip them.

    Only the first call of a process freezes: later runs import next to nothing, and their models must be freed.

    Importing torch, diffusers and transformers creates very many objects that live as long as the process. Scanning
    them repeatedly takes about a fifth of the import time (figures: docs/performance.md). `gc.freeze` saves every later
    full collection the same scan (see `gc` in Python's library reference).
    """
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:
            gc.freeze()
        gc.enable()


def collect_garbage(thorough: bool) -> None:
    """Free the unreachable cycles of a run. Frozen objects are examined only if `thorough`, which takes a while."""
    if thorough:
        gc.unfreeze()
    gc.collect()
    if thorough:
        gc.freeze()
