"""Pages and code are in plain English: the rules in styles/Darkroom, which Vale and editors read too."""

from pathlib import Path

import pytest
from support.markdown import REPOSITORY, pages
from support.prose import Paragraph, faults, markdown_paragraphs, python_paragraphs, rules

STYLE = rules()
WORDS = rules("Phrases", "Terms", "Padding")
"""Of code: its docstrings have tables and trees, in which sentences can't be measured."""
FOLDERS = ("benchmarks", "client", "contract", "gateway", "local", "operator", "runner", "tests", "tiny")


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_page_follows_the_style(page: Path) -> None:
    assert faults(page, STYLE) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_comments_docstrings_and_messages_follow_the_style(folder: str) -> None:
    files = set((REPOSITORY / folder).rglob("*.py")) - {Path(__file__)}
    assert [fault for path in sorted(files) for fault in faults(path, WORDS)] == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("The operator is told of it.", "Phrases"),
        ("Each room has\none door.", "Terms"),
        ("Simply run it.", "Padding"),
        ("| a | " + "word " * 41 + "|", "SentenceLength"),
    ],
)
def test_each_rule_finds_its_phrases(text: str, rule: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{text}\n", encoding="utf-8")
    found = faults(page, STYLE)
    assert found
    assert {fault.split(": ")[1] for fault in found} == {rule}
    assert found[0].startswith(f"{page}:3:")


def test_code_links_and_comments_are_not_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\nmake room\n```\n\nRead `whoever` in [this](rooms/whoever.md).\n<!-- a door -->\n", encoding="utf-8"
    )
    assert faults(page, STYLE) == []


def test_paragraphs_have_the_lines_they_begin_in() -> None:
    text = "# Title\n\nOne\ntwo.\n\n```sh\ncode\n```\n- item\n  of a list\n| a | b |\n"
    assert list(markdown_paragraphs(text)) == [
        Paragraph(1, "Title"),
        Paragraph(3, "One\ntwo."),
        Paragraph(9, "item\n  of a list"),
        Paragraph(11, " a "),
        Paragraph(11, " b "),
    ]


def test_comments_docstrings_and_messages_of_code_are_prose() -> None:
    code = '"""A module."""\n\n# A comment.\nraise ValueError("A message of it")\n'
    assert sorted(paragraph.text for paragraph in python_paragraphs(code)) == [
        "A comment.",
        "A message of it",
        "A module.",
    ]
