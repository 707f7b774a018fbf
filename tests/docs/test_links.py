"""Links lead somewhere, and what pages call a file or a setting is one."""

import re
from pathlib import Path

import pytest
from support.markdown import REPOSITORY, anchors, links, pages, read

from darkroom_runner.run import termination

SOURCES = ("contract", "gateway", "operator", "runner", "local")


def missing(page: Path, link: str) -> str | None:
    """What a link of a page leads to and is not there."""
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
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    assert [fault for link in links(read(page)) if (fault := missing(page, link))] == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = REPOSITORY / "README.md"
    assert missing(page, "docs/no-such-page.md") == "docs/no-such-page.md: no such file"
    assert missing(page, "docs/api.md#no-such-heading") == "docs/api.md#no-such-heading: no such heading"
    assert missing(page, "docs/api.md#settings") is None


def test_every_environment_variable_that_a_page_names_is_read_by_the_code() -> None:
    code = "".join(
        read(path) for folder in SOURCES for path in (REPOSITORY / folder).rglob("*.py") if "tests" not in path.parts
    )
    named = {name for page in pages() for name in re.findall(r"(?<!\$)\bDARKROOM_[A-Z0-9_]+[A-Z0-9]\b", read(page))}
    assert len(named) > 10
    assert sorted(name for name in named if name not in code) == []


def test_every_page_of_operations_is_in_its_index() -> None:
    folder = REPOSITORY / "docs" / "operations"
    told = links(read(folder / "README.md"))
    assert sorted(path.name for path in folder.glob("*.md") if path.name not in told) == ["README.md"]


def test_every_example_is_in_its_index() -> None:
    folder = REPOSITORY / "examples"
    told = [link for link in links(read(folder / "README.md")) if link.endswith(".yaml")]
    assert sorted(told) == sorted(path.name for path in folder.glob("*.yaml"))


def test_the_exit_codes_are_those_of_the_runner() -> None:
    page = read(REPOSITORY / "docs" / "operations" / "troubleshooting.md").split("## Exit codes")[1].split("\n## ")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    killed = 128 + 9
    assert told == {value for name, value in vars(termination).items() if name.startswith("EXIT_")} | {killed}
