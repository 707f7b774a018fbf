"""Compiles the modules of a fresh checkout once for all test workers. Used by tests/conftest.py.

The workers collect the same files in the same order at the same time, so each would rewrite the assertions of every
test module, and compile every other one, itself: ten seconds and more of CPU time for each worker. Here each prepares
its share first. What is up to date stays as it is, and what is missing later is compiled as it is imported. A file that
can't be read or compiled is left to pytest, which reports it.
"""

import compileall
import contextlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("client", "contract", "gateway", "local", "operator", "runner", "tests/support", "tiny")


def compile_share(config: pytest.Config) -> None:
    """The share of this worker, of the tests that it was asked to collect and of our packages."""
    if not hasattr(config, "workerinput") or sys.dont_write_bytecode:
        return
    worker, workers = int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"]
    for path in _share(modules_of_tests(config.args), worker, workers):
        rewrite_assertions(config, path)
    for path in _share(python_files(REPOSITORY / each for each in PACKAGES), worker, workers):
        compileall.compile_file(path, quiet=2)


def _share(files: Sequence[Path], worker: int, workers: int) -> Sequence[Path]:
    return files[worker % workers :: workers]


def modules_of_tests(arguments: Iterable[str]) -> list[Path]:
    """What pytest collects below its arguments, and their `conftest.py`."""
    given = (Path(each.partition("::")[0]) for each in arguments)
    return [path for path in python_files(given) if path.name.startswith("test_") or path.name == "conftest.py"]


def python_files(roots: Iterable[Path]) -> list[Path]:
    found = {path for root in roots for path in (root.rglob("*.py") if root.is_dir() else [root])}
    return sorted(path.absolute() for path in found)


def rewrite_assertions(config: pytest.Config, path: Path) -> None:
    """Write the module's bytecode as pytest's import hook does, unless it is up to date.

    Not with `--assert=plain`, which has no such hook.
    """
    state = config.stash.get(rewrite.assertstate_key, None)
    folder = rewrite.get_cache_dir(path)
    bytecode = folder / f"{path.stem}{rewrite.PYC_TAIL}"
    if state is None or not path.is_file() or rewrite._read_pyc(path, bytecode) is not None:
        return
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        if rewrite.try_makedirs(folder):
            source_hash, code = rewrite._rewrite_test(path, config)
            rewrite._write_pyc(state, code, source_hash, bytecode)
