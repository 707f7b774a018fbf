"""The repository's Markdown pages and their content, for the tests of the documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
OPERATIONS = REPOSITORY / "docs" / "operations"


def pages() -> list[Path]:
    """All pages for people: those in the root, everything under docs/, and the indexes of other folders."""
    found = sorted(REPOSITORY.glob("*.md"))
    found += [REPOSITORY / folder / "README.md" for folder in ("charts/darkroom", "examples", "findings")]
    return [*found, *sorted((REPOSITORY / "models").glob("*/README.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def fences(text: str, language: str) -> Iterator[str]:
    """The code blocks of a language, including indented ones in lists."""
    for indent, body in re.findall(rf"^( *(?:\d+\. )?)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        margin = " " * len(indent)
        yield "\n".join(line.removeprefix(margin) for line in body.splitlines())


def commands(text: str) -> list[str]:
    """The lines of all shell blocks, with continued lines joined."""
    return [
        line.strip()
        for block in fences(text, "sh")
        for line in re.sub(r" *\\\n *", " ", block).splitlines()
        if line.strip() and not line.startswith("#")
    ]


def outside_of_fences(text: str) -> str:
    return re.sub(r"^ *(?:\d+\. )?```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    """All inline code outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", outside_of_fences(text))


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", outside_of_fences(text))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", outside_of_fences(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
