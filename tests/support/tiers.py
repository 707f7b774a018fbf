"""The fast tier of tests: what needs no torch and no cluster. Used by tests/conftest.py.

A test is in the fast tier unless the code that it can reach - itself, its fixtures, and the functions and classes of
ours that they name - imports torch or one of its libraries, or names a program of a cluster. What this misses fails:
while a fast test runs, such an import or such a process raises `NotFastError`.
"""

import ast
import contextlib
import functools
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]
TORCH = frozenset({"torch", "diffusers", "transformers", "peft", "accelerate", "DeepCache"})
PROGRAM = re.compile(
    r"^(-m )?(darkroom_local\.(apiserver|node|cli)|darkroom_(gateway|operator)\.main|darkroom_runner\.\w+"
    r"|darkroom(-gateway|-operator|-runner)?)$"
)
"""An argument of a command line: the module after `-m`, or the name of the program's file."""
DEFINITION = re.compile(r"^(?:@|class |def |async def )", re.MULTILINE)
CLUSTER_FOLDERS = tuple(
    TESTS / name for name in ("stories", "chaos", "page", "quality", "conformance", "gpu", "images")
)
ADVICE = "a test that needs it belongs to the whole suite: tests/support/tiers.py decides by what a test can reach"


class NotFastError(AssertionError):
    """A test of the fast tier imports torch, or starts a program of a cluster."""


@functools.cache
def is_whole_module_slow(path: Path) -> bool:
    """Whether importing a test module loads torch, or its folder is about clusters."""
    return any(path.is_relative_to(folder) for folder in CLUSTER_FOLDERS) or _loads_torch(path)


@functools.cache
def _loads_torch(path: Path) -> bool:
    """By the imports at its top, and at the top of the modules of ours that these import."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        names = list(_imports_at_top(each))
        if any(name.partition(".")[0] in TORCH for name in names):
            return True
        waiting += [file for name in names if (file := _file_of_ours(name)) is not None]
    return False


@functools.cache
def _imports_at_top(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for statement in _head(path.read_text(encoding="utf-8")):
        if isinstance(statement, ast.Import):
            names += [each.name for each in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            names += [statement.module, *(f"{statement.module}.{each.name}" for each in statement.names)]
    return tuple(names)


def _head(source: str) -> list[ast.stmt]:
    """The statements before the first function or class. No import at the top comes later: Ruff's E402."""
    definition = DEFINITION.search(source)
    try:
        return ast.parse(source[: definition.start()] if definition else source).body
    except SyntaxError:
        # The definition is part of a text.
        return ast.parse(source).body


@functools.cache
def _file_of_ours(name: str) -> Path | None:
    """The file of a module of ours; None for other modules, and for what is no module."""
    package = name.partition(".")[0]
    root = TESTS if package == "support" else TESTS.parent / package.removeprefix("darkroom_")
    path = root.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def is_fast(item: pytest.Item) -> bool:
    """Whether neither the test nor its fixtures can reach torch or a cluster."""
    if not isinstance(item, pytest.Function) or is_whole_module_slow(item.path):
        return False
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    return not any(_is_slow(each) for each in (item.obj, *(found.func for group in fixtures for found in group)))


def _is_slow(function: Any) -> bool:
    function = getattr(function, "__func__", function)
    return isinstance(function, FunctionType) and reaches_slow(function)


_reached: dict[Any, bool] = {}
"""What is known of functions and classes: whether they reach torch or a cluster."""


def reaches_slow(function: FunctionType) -> bool:
    seen: set[Any] = set()
    waiting: list[Any] = [function]
    slow = False
    while waiting and not slow:
        each = waiting.pop()
        if each not in seen and _reached.get(each) is not False:
            seen.add(each)
            slow = _reached.get(each, False) or _is_slow_itself(each)
            waiting += _next(each)
    # When nothing slow was reached, that holds for everything on the way.
    _reached.update(dict.fromkeys(seen, False) if not slow else {function: True, each: True})
    return slow


def _is_slow_itself(each: Any) -> bool:
    if isinstance(each, type):
        return False
    return any(_is_slow_code(code, each.__module__) for code in _codes(each.__code__))


@functools.cache
def _next(each: Any) -> tuple[Any, ...]:
    """The methods of a class; the functions and classes of ours that a function names."""
    if isinstance(each, type):
        return tuple(value for value in map(_unwrapped, list(vars(each).values())) if isinstance(value, FunctionType))
    return tuple(_named(list(_codes(each.__code__)), each.__globals__))


def _unwrapped(value: Any) -> Any:
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    return getattr(value, "__wrapped__", value)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _is_slow_code(code: CodeType, module: str) -> bool:
    if any(name.partition(".")[0] in TORCH for name in code.co_names):
        return True
    # The products' own code names programs without starting them.
    return not module.startswith("darkroom_") and any(
        PROGRAM.match(word) for constant in code.co_consts for word in _words(constant)
    )


def _words(constant: Any) -> Iterator[str]:
    if isinstance(constant, str):
        yield constant
    elif isinstance(constant, tuple):
        for each in constant:
            yield from _words(each)


def _named(codes: list[CodeType], scope: dict[str, Any]) -> Iterator[Any]:
    """The functions and classes of ours that code names, also by a module."""
    for code in codes:
        for name in code.co_names:
            value = scope.get(name)
            members = [getattr(value, other, None) for other in code.co_names] if isinstance(value, ModuleType) else []
            for each in map(_unwrapped, (value, *members)):
                if isinstance(each, (FunctionType, type)) and _is_ours(each.__module__):
                    yield each


@functools.cache
def _is_ours(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return module.startswith(("darkroom_", "support.")) or file.startswith(str(TESTS))


class _Torchless(MetaPathFinder):
    """Comes before all other finders, and finds nothing."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in TORCH:
            raise NotFastError(f"a fast test imports {name}; {ADVICE}")


def _starts_a_cluster(command: list[str]) -> bool:
    """By its program, a path among its arguments (a launcher's program), or a module after `-m`."""
    programs = [Path(word).name for word in command if word.startswith("/") or word is command[0]]
    modules = [module for option, module in itertools.pairwise(command) if option == "-m"]
    return any(PROGRAM.match(each) for each in programs + modules)


class _Popen:
    """The two ways to start a process: checked, and as it was."""

    original = subprocess.Popen.__init__

    def checked(self, args: Any, *rest: Any, **options: Any) -> None:
        command = [args] if isinstance(args, (str, bytes, Path)) else list(args)
        words = [os.fsdecode(each) for each in command]
        if _starts_a_cluster(words):
            raise NotFastError(f"a fast test starts {' '.join(words)}; {ADVICE}")
        _Popen.original(self, args, *rest, **options)  # type: ignore[arg-type]


@contextlib.contextmanager
def only_what_is_fast() -> Iterator[None]:
    """Within, torch can't be imported and no program of a cluster can be started."""
    finder = _Torchless()
    sys.meta_path.insert(0, finder)
    subprocess.Popen.__init__ = _Popen.checked  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        subprocess.Popen.__init__ = _Popen.original  # type: ignore[method-assign]
        sys.meta_path.remove(finder)
