"""Python's cyclic garbage collector, kept out of the way while libraries and models are loaded. Used by `lifecycle`."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collection() -> Iterator[None]:
    """Collects nothing meanwhile, and never looks at what was made meanwhile again.

    torch, diffusers and transformers make very many objects as they are imported, all of which live to the end. Looking
    through them again and again, each time that enough new ones are there, is about a fifth of their import (figures:
    docs/performance.md); afterwards `gc.freeze` spares every full collection the same, see `gc` in Python's manual.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
