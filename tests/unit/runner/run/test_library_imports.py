"""Libraries are imported in a thread while the input is fetched; failures and early ends are orderly."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from darkroom_runner.run.library_imports import LibraryImports, imports_in_background

Write = Callable[[str, str], str]


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module that can be imported by the name that is returned."""
    monkeypatch.syspath_prepend(tmp_path)
    written = []

    def write(name: str, code: str) -> str:
        written.append(f"imported_in_a_test_{name}")
        (tmp_path / f"{written[-1]}.py").write_text(code)
        return written[-1]

    yield write
    for name in written:
        sys.modules.pop(name, None)


def nothing() -> None:
    """Prepares nothing."""


def test_modules_are_imported_by_another_thread_in_their_order(write_module: Write) -> None:
    code = "import sys, threading\nthread = threading.get_ident()\nbefore = [*sys.modules]\n"
    names = [write_module("first", code), write_module("second", code)]

    with imports_in_background(nothing, names) as libraries:
        libraries.wait()

        first, second = (sys.modules[name] for name in names)
        assert threading.get_ident() not in (first.thread, second.thread)
        assert names[0] in second.before
        assert names[1] not in first.before


def test_failed_import_is_raised_where_the_libraries_are_needed(write_module: Write) -> None:
    broken, after = write_module("broken", "raise OSError('no such library')"), write_module("after", "")

    with (
        pytest.raises(OSError, match="no such library"),
        imports_in_background(nothing, [broken, after]) as libraries,
    ):
        libraries.wait()

    assert after not in sys.modules


def test_failed_input_ends_the_imports_after_the_module_being_imported(write_module: Write) -> None:
    gate = write_module("gate", "import threading\nopened, begun = threading.Event(), threading.Event()\n")
    code = f"import {gate} as gate\ngate.begun.set()\nassert gate.opened.wait(20)\nassert gate.cancelled.wait(20)\n"
    first = write_module("first", code)
    second = write_module("second", "")

    with pytest.raises(ValueError, match="bad input"), imports_in_background(nothing, [gate, first, second]) as imports:
        fail_once_imported(gate, imports)

    assert first in sys.modules
    assert second not in sys.modules


def fail_once_imported(gate: str, imports: LibraryImports) -> None:
    module = importlib.import_module(gate)
    vars(module)["cancelled"] = imports.cancelled
    module.opened.set()
    assert module.begun.wait(20)
    raise ValueError("bad input")
