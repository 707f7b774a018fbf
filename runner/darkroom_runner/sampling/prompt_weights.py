"""Parses weights in prompts: `(words:1.3)` gives words more weight, `(words:0.7)` less.

Only this form with a number is interpreted, as in the Stable Diffusion web UIs; groups inside a group multiply. All
other text stays as it is: parentheses without a number, brackets, plus and minus signs. A backslash before a
parenthesis makes it plain text: `\\(words:1.3\\)`.
"""

import itertools
import re
from dataclasses import dataclass

MAX_WEIGHT = 3.0
"""Embeddings beyond are far from all that the U-Net was trained on."""

_WEIGHT = re.compile(r":\s*(\d+(?:\.\d*)?|\.\d+)\s*\Z")
_LETTER = re.compile(r"[^\W\d_]")
_ESCAPED = re.compile(r"\\([()])")
_PARENTHESIS = re.compile(r"\\[()]|[()]")
_MAX_DEPTH = 20


@dataclass(frozen=True)
class WeightedText:
    """A part of a prompt."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class _Group:
    """`prompt[start:end]` is a weighted group, and `prompt[start + 1:text_end]` the text in it."""

    start: int
    end: int
    text_end: int
    weight: float


def parse_prompt(prompt: str) -> list[WeightedText]:
    """The parts of a prompt in order, without the marks of the weights. Neighbours of equal weight are one part."""
    weights: list[float | None] = [1.0] * len(prompt)
    """Of each character; None for the marks."""
    for group in _groups(prompt):
        for index in range(group.start + 1, group.text_end):
            weight = weights[index]
            weights[index] = None if weight is None else weight * group.weight
        for mark in (group.start, *range(group.text_end, group.end)):
            weights[mark] = None
    kept = [(weight, character) for weight, character in zip(weights, prompt, strict=True) if weight is not None]
    parts = [
        WeightedText("".join(character for _, character in each), min(weight, MAX_WEIGHT))
        for weight, each in itertools.groupby(kept, key=lambda each: each[0])
    ]
    return [WeightedText(_ESCAPED.sub(r"\1", each.text), each.weight) for each in parts]


def out_of_range_weights(prompt: str) -> list[str]:
    """Groups whose number is larger than `MAX_WEIGHT`, such as `(dog:12)`. They are plain text."""
    return [prompt[each.start : each.end] for each in _numbered(prompt) if each.weight > MAX_WEIGHT]


def _groups(prompt: str) -> list[_Group]:
    return [each for each in _numbered(prompt) if each.weight <= MAX_WEIGHT]


def _numbered(prompt: str) -> list[_Group]:
    groups = [_group(prompt, start, end) for start, end in _pairs(prompt)]
    return [each for each in groups if each is not None]


def _group(prompt: str, start: int, end: int) -> _Group | None:
    """The group between two parentheses, if it ends with a number. `(16:9)` and `(4:3)` have no words, and are text."""
    number = _WEIGHT.search(prompt, start + 1, end - 1)
    if number is None or not _LETTER.search(prompt, start + 1, number.start()):
        return None
    return _Group(start, end, number.start(), float(number[1]))


def _pairs(prompt: str) -> list[tuple[int, int]]:
    """Matching parentheses, the inner ones first: the position of the opening one, and that after the closing one."""
    pairs, opened = [], list[int]()
    for mark in _PARENTHESIS.finditer(prompt):
        if mark[0] == "(":
            opened.append(mark.start())
        elif mark[0] == ")" and opened:
            start = opened.pop()
            if len(opened) < _MAX_DEPTH:
                pairs.append((start, mark.end()))
    return pairs
