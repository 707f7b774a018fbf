"""Links, environment variables, indexes and exit codes in the pages are correct."""

import re
from pathlib import Path

import pytest
from support.markdown import REPOSITORY, anchors, links, pages, read

from darkroom_runner.run import termination

SOURCES = ("contract", "gateway", "operator", "runner", "local", "client")


def missing(page: Path, link: str) -> str | None:
    """What is wrong with a link of a page, if anything."""
    if link.startswith(("http://", "https://", "mailto:")):
        return None
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return f"{link}: no such file"
    if anchor and anchor not in anchors(read(target)):
        return f"{link}: no such heading"
    return None


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_has_a_target(page: Path) -> None:
    assert [fault for link in links(read(page)) if (fault := missing(page, link))] == []


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_section_is_there_twice(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return
    sections = re.findall(
        r"^## .+$", re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    assert sorted(each for each in set(sections) if sections.count(each) > 1) == []


def test_broken_link_is_detected() -> None:
    page = REPOSITORY / "README.md"
    assert missing(page, "docs/no-such-page.md") == "docs/no-such-page.md: no such file"
    assert missing(page, "docs/api.md#no-such-heading") == "docs/api.md#no-such-heading: no such heading"
    assert missing(page, "docs/api.md#settings") is None


def test_every_environment_variable_in_a_page_is_read_by_the_code() -> None:
    code = "".join(
        read(path) for folder in SOURCES for path in (REPOSITORY / folder).rglob("*.py") if "tests" not in path.parts
    )
    named = {name for page in pages() for name in re.findall(r"(?<!\$)\bDARKROOM_[A-Z0-9_]+[A-Z0-9]\b", read(page))}
    assert len(named) > 10
    assert sorted(name for name in named if name not in code) == []


def test_index_of_operations_is_complete() -> None:
    folder = REPOSITORY / "docs" / "operations"
    linked = links(read(folder / "README.md"))
    assert sorted(path.name for path in folder.glob("*.md") if path.name not in linked) == ["README.md"]


def test_index_of_examples_is_complete() -> None:
    folder = REPOSITORY / "examples"
    linked = [link for link in links(read(folder / "README.md")) if link.endswith(".yaml")]
    assert sorted(linked) == sorted(path.name for path in folder.glob("*.yaml"))


def test_exit_codes_are_those_of_the_runner() -> None:
    page = read(REPOSITORY / "docs" / "operations" / "troubleshooting.md").split("## Exit codes")[1].split("\n## ")[0]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    killed = 128 + 9
    assert documented == {value for name, value in vars(termination).items() if name.startswith("EXIT_")} | {killed}
