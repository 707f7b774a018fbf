"""Keeps torch's compiler (`torch._dynamo`) from being imported until something compiles.

diffusers, transformers and torch's optimizers import it for decorators that do nothing without compilation: 70 MiB and
a second of CPU time in each process (torch 2.13, diffusers 0.42, transformers 5.23).
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

_NAME = "torch._dynamo"
_INDEPENDENT = f"{_NAME}._trace_wrapped_higher_order_op"
"""transformers imports it for attention masks; it works without the rest of the compiler."""


def defer_compiler() -> None:
    """Put a placeholder in the compiler's place. Does nothing once it is imported."""
    specification = importlib.util.find_spec("torch")
    if _NAME in sys.modules or specification is None or not specification.submodule_search_locations:
        return
    placeholder = _Placeholder(_NAME)
    placeholder.__path__ = [f"{folder}/_dynamo" for folder in specification.submodule_search_locations]
    sys.modules[_NAME] = placeholder
    sys.meta_path.insert(0, _SubmoduleFinder())


def load_compiler() -> ModuleType:
    """Import the compiler, in place of the placeholder if there is one."""
    import torch

    if isinstance(sys.modules.get(_NAME), _Placeholder):
        sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _SubmoduleFinder)]
        del sys.modules[_NAME]
        torch.__dict__.pop("_dynamo", None)
    return importlib.import_module(_NAME)


def _unchanged(function: Any) -> Any:
    return function


class _Uncompiled:
    """In place of `OptimizedModule`: nothing is an instance."""


class _Placeholder(ModuleType):
    """Stands for the compiler. Any attribute that it lacks imports the real one."""

    eval_frame = SimpleNamespace(OptimizedModule=_Uncompiled)
    allow_in_graph = staticmethod(_unchanged)
    assume_constant_result = staticmethod(_unchanged)

    @staticmethod
    def disable(function: Any = None, *_: Any, **__: Any) -> Any:
        return _unchanged if function is None else function

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None:
        """Nothing is traced."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # The import system looks these up.
            raise AttributeError(name)
        return getattr(load_compiler(), name)


class _SubmoduleFinder(MetaPathFinder):
    """Imports the whole compiler for an import of one of its submodules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{_NAME}.") or fullname == _INDEPENDENT:
            return None
        load_compiler()
        return ModuleSpec(fullname, _Imported(importlib.import_module(fullname)))


class _Imported(Loader):
    """Returns a module that is imported already."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._specification = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specification
