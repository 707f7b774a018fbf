"""Messages reach people through the page, the command line and kubectl, too: they name no HTTP requests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
MODULES = sorted(
    path
    for room in ("contract", "gateway", "operator", "runner")
    for path in (ROOT / room / f"darkroom_{room}").rglob("*.py")
)
REQUEST = re.compile(r"\b(GET|HEAD|POST|PUT|PATCH|DELETE) /")


def _texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module, without docstrings and the descriptions of the OpenAPI document."""
    described = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "description"
        for part in ast.walk(node.value)
    }
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described | documented:
            yield node.value


@pytest.mark.parametrize("room", ["contract", "gateway", "operator", "runner"])
def test_messages_name_no_http_request(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in MODULES
        if path.is_relative_to(ROOT / room)
        for text in _texts(ast.parse(path.read_text()))
        if REQUEST.search(text)
    ]

    assert found == []


def test_request_in_a_message_is_found() -> None:
    texts = _texts(ast.parse('"""GET /docs"""\nx = f"See GET /jobs/{name}."\ny = f(description="POST /train")'))

    assert [each for each in texts if REQUEST.search(each)] == ["See GET /jobs/"]
