"""Keeps two parts of torch that a run does not need from being imported with the libraries and by a training.

diffusers, transformers, accelerate and peft import them wherever torch has them: its compiler (`torch.compile`)
and its distributed package. Together they are a third of the imports' CPU time (figures: docs/performance.md). The
first step of a training's optimizer imports the compiler, too.

The libraries support builds of torch without the distributed package. Of the compiler, they and torch itself use only
what means something to compiled code, and the class of compiled models. Should a new release use more of it, it is
imported after all: the start is then slower, and `tests/unit/runner/test_cold_start.py` fails.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

COMPILER = "torch._dynamo"


@contextmanager
def unused_parts_hidden() -> Iterator[None]:
    """Import libraries, load models and train inside the block; it imports torch itself.

    Without effect where CUDA is available or torchvision is installed: torchao, bitsandbytes and torchvision, which
    transformers imports where it is, use modules of the compiler.

    Afterwards both parts can be imported, but the libraries take torch to have no distributed package, and code of
    theirs must not be compiled: the compiler doesn't know of their decorators.
    """
    import torch

    if torch.cuda.is_available() or importlib.util.find_spec("torchvision") is not None:
        yield
        return
    with _compiler_hidden(), _distributed_hidden():
        yield


# --- torch's compiler ----------------------------------------------------------------------------------------------


class _CompilerStandIn(ModuleType):
    """torch's compiler for code that is not compiled. Any other attribute imports the real one in its place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        return getattr(importlib.import_module(COMPILER), name)


def _unchanged(function: Any = None, *args: Any, **options: Any) -> Any:
    """A decorator, with or without options, that returns the function itself."""
    return _unchanged if function is None else function


@contextmanager
def _compiler_hidden() -> Iterator[None]:
    if COMPILER in sys.modules or (spec := importlib.util.find_spec(COMPILER)) is None:
        yield
        return
    stand_in = _CompilerStandIn(COMPILER)
    # A package: its modules can be imported from its folder.
    stand_in.__spec__, stand_in.__file__ = spec, spec.origin
    stand_in.__path__ = spec.submodule_search_locations  # type: ignore[assignment]
    for decorator in ("allow_in_graph", "assume_constant_result", "disable"):
        setattr(stand_in, decorator, _unchanged)
    # Every step of an optimizer calls it.
    stand_in.graph_break = lambda: None  # type: ignore[attr-defined]
    # diffusers asks whether each model is one of these.
    stand_in.eval_frame = SimpleNamespace(OptimizedModule=type("OptimizedModule", (), {}))  # type: ignore[attr-defined]
    sys.modules[COMPILER] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(COMPILER) is stand_in:
            del sys.modules[COMPILER]


# --- torch's distributed package -----------------------------------------------------------------------------------


@contextmanager
def _distributed_hidden() -> Iterator[None]:
    """As in builds of torch without it."""
    import torch.distributed

    is_available = torch.distributed.is_available
    torch.distributed.is_available = lambda: False
    try:
        yield
    finally:
        torch.distributed.is_available = is_available
