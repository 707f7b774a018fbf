"""The English of pages and code, checked by the rules in styles/Darkroom.

The rules are in Vale's format. Vale's PyPI package downloads its program from GitHub at first use, which fails where
only a package index is reachable. So this module reads the three kinds of rule that our style uses: `substitution`,
`existence`, and `occurrence` in a sentence. `PYTHONPATH=tests python -m support.prose PATH...` lists the findings in
Markdown and Python files.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STYLE = Path(__file__).resolve().parents[2] / "styles" / "Darkroom"


@dataclass(frozen=True)
class Paragraph:
    """Prose without code, and the line it begins in."""

    line: int
    text: str


@dataclass(frozen=True)
class Rule:
    """One file of the style."""

    name: str
    settings: dict[str, Any]

    def findings(self, text: str) -> Iterator[str]:
        flags = re.IGNORECASE if self.settings.get("ignorecase") else 0
        message = self.settings["message"]
        match self.settings["extends"]:
            case "substitution":
                for pattern, better in self.settings["swap"].items():
                    yield from (message % (better, found[0]) for found in re.finditer(pattern, text, flags))
            case "existence":
                for pattern in self.settings["tokens"]:
                    yield from (message % found[0] for found in re.finditer(pattern, text, flags))
            case "occurrence":
                for sentence in sentences(text):
                    if len(re.findall(self.settings["token"], sentence, flags)) > self.settings["max"]:
                        yield f"{message} ({sentence[:60]} ...)"
            case other:
                raise ValueError(f"{self.name}: this reader knows no rule that extends {other!r}")


def rules(*names: str) -> list[Rule]:
    """Of the style, all or those that are named."""
    files = sorted(STYLE.glob("*.yml"))
    found = [Rule(path.stem, yaml.safe_load(path.read_text(encoding="utf-8"))) for path in files]
    return [rule for rule in found if not names or rule.name in names]


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", " ".join(text.split()))


def markdown_paragraphs(text: str) -> Iterator[Paragraph]:
    """Paragraphs, list items, headings and cells of tables, without code, comments and the targets of links."""
    text = re.sub(r"^( *(?:[-*]|\d+\.)? *)```.*?^ *```", _blank, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->|<[^>\n]+>", _blank, text, flags=re.DOTALL)
    text = re.sub(r"`[^`]*`", _code, text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    start, lines = 1, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], 1):
        is_start = not line.strip() or re.match(r" *(#|\||[-*] |\d+\. |> )", line)
        if is_start and lines:
            yield Paragraph(start, "\n".join(lines))
        if is_start:
            start, lines = number + (not line.strip()), []
        if line.lstrip().startswith("|"):
            yield from (Paragraph(number, cell) for cell in line.split("|") if cell.strip())
        elif line.strip():
            lines.append(re.sub(r"^ *(#+|[-*]|\d+\.|>) ", "", line))


def _blank(found: re.Match[str]) -> str:
    """Nothing, on as many lines."""
    return "\n" * found[0].count("\n")


def _code(found: re.Match[str]) -> str:
    """A word in place of a span of code."""
    return "X" + "\n" * found[0].count("\n")


def python_paragraphs(text: str) -> Iterator[Paragraph]:
    """Comments, docstrings and messages, without code in them."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Paragraph(node.lineno, re.sub(r"`[^`]*`", _code, node.value))
    for token in tokenize.generate_tokens(io.StringIO(text).readline) if "#" in text else ():
        if token.type == tokenize.COMMENT:
            yield Paragraph(token.start[0], re.sub(r"`[^`]*`", "X", token.string.lstrip("# ")))


def faults(path: Path, style: list[Rule]) -> list[str]:
    """What is wrong in a file, each as `path:line: rule: message`."""
    text = path.read_text(encoding="utf-8")
    paragraphs = python_paragraphs(text) if path.suffix == ".py" else markdown_paragraphs(text)
    return [
        f"{path}:{paragraph.line}: {rule.name}: {finding}"
        for paragraph in paragraphs
        for rule in style
        for finding in rule.findings(paragraph.text)
    ]


def main() -> None:
    given = [Path(word) for word in sys.argv[1:]]
    files = [each for path in given for each in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    found = [fault for each in files if each.suffix in (".md", ".py") for fault in faults(each, rules())]
    print("\n".join(found))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
