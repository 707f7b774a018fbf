"""Files and modules of this repository that code, docs and the chart name exist."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support.markdown import REPOSITORY

FOLDERS = "benchmarks|charts|contract|docs|gateway|local|operator|runner|tests|tiny"
FILE = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]+\.(?:md|py|sh|yaml)\b")
PACKAGE = "contract|gateway|local|operator|runner|tiny"
MODULE = re.compile(rf"\b(darkroom_(?:{PACKAGE})(?:\.\w+)+)")
SUFFIXES = {".md", ".py", ".toml", ".yaml"}
EXCLUDED = {
    "CHANGELOG.md",
    "tests/docs/test_links.py",
    "tests/docs/test_architecture.py",
    "tests/chart/test_rendering.py",
}
"""The history, and tests of files and modules that don't exist."""


def sources() -> Iterator[tuple[str, str]]:
    """Names and texts of the files."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        path = REPOSITORY / name
        if path.suffix in SUFFIXES and name not in EXCLUDED and "/released/" not in name and path.is_file():
            yield name, path.read_text(encoding="utf-8")


def test_named_files_exist() -> None:
    missing = [
        f"{source}: {named}"
        for source, text in sources()
        for named in FILE.findall(text)
        if not (REPOSITORY / named).exists() and not (REPOSITORY / source).parent.joinpath(named).exists()
    ]
    assert missing == []


def test_named_modules_exist() -> None:
    missing = [
        f"{source}: {named}" for source, text in sources() for named in MODULE.findall(text) if not is_there(named)
    ]
    assert missing == []


def is_there(named: str) -> bool:
    """Whether a dotted name is a package, a module, or a name that the module contains."""
    package, *rest = named.split(".")
    path = REPOSITORY / package.removeprefix("darkroom_") / package
    for number, each in enumerate(rest):
        if (path / each).is_dir():
            path /= each
        elif (module := path / f"{each}.py").is_file():
            return number + 1 == len(rest) or contains(module, rest[number + 1])
        else:
            return each.startswith("__") or contains(path / "__init__.py", each)
    return True


def contains(module: Path, word: str) -> bool:
    return module.is_file() and re.search(rf"\b{word}\b", module.read_text(encoding="utf-8")) is not None
