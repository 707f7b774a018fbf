"""Modules have at most 300 lines and functions at most 40, tests too (CONTRIBUTING.md)."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.markdown import REPOSITORY

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40


def python_files(root: Path) -> list[Path]:
    """The files that git tracks or would track; all of them where there is no repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if listed.returncode:
        return sorted(path for path in root.rglob("*.py") if not any(part[0] == "." for part in path.parts[1:]))
    return sorted(path for line in listed.stdout.splitlines() if (path := root / line).is_file())


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All below a node, at any depth. Expressions, most of the tree, have no function with a name in them."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, (ast.stmt, ast.excepthandler, ast.match_case)):
            yield each
            yield from statements(each)


def too_long(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if (lines := len(text.splitlines())) > MAX_MODULE_LINES:
        yield f"{path}: {lines} lines"
    for node in statements(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name}() has {lines} lines"


def test_modules_and_functions_are_short() -> None:
    files = python_files(REPOSITORY)
    assert len(files) > 400
    assert [each for path in files for each in too_long(path)] == []


@pytest.mark.parametrize(("lines", "findings"), [(38, 0), (39, 0), (40, 1), (300, 2)])
def test_each_limit_is_enforced(lines: int, findings: int, tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text("def f():\n" + "    x = 1\n" * lines, encoding="utf-8")
    assert len(list(too_long(path))) == findings


@pytest.mark.parametrize(
    "head",
    [
        "class A:\n",
        "def g():\n",
        "if x:\n    pass\nelse:\n",
        "for x in y:\n",
        "with x:\n",
        "while x:\n",
        "try:\n    pass\nexcept A:\n",
        "try:\n    pass\nfinally:\n",
        "match x:\n  case 1:\n",
    ],
)
def test_functions_are_found_in_other_statements(head: str, tmp_path: Path) -> None:
    path = tmp_path / "nested.py"
    path.write_text(head + "    async def f():\n" + "        x = 1\n" * 40, encoding="utf-8")
    assert any("f() has 41 lines" in each for each in too_long(path))
