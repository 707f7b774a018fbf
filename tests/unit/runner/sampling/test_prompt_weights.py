"""Weights in prompts: what is interpreted, and what stays text."""

import pytest

from darkroom_runner.sampling.prompt_weights import WeightedText, out_of_range_weights, parse_prompt


def parts(prompt: str) -> list[tuple[str, float]]:
    return [(part.text, round(part.weight, 6)) for part in parse_prompt(prompt)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a (red:1.2) dog", [("a ", 1.0), ("red", 1.2), (" dog", 1.0)]),
        ("(big red dog:.5)", [("big red dog", 0.5)]),
        ("((a:1.2) b:1.5) c", [("a", 1.8), (" b", 1.5), (" c", 1.0)]),
        ("(a (b) c:1.1)", [("a (b) c", 1.1)]),
        ("(a: 1.3 )(b:1.3)", [("ab", 1.3)]),
        ("(a:0) b", [("a", 0.0), (" b", 1.0)]),
        ("((a:2):2)", [("a", 3.0)]),
    ],
)
def test_a_group_with_a_number_is_weighted(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert parts(prompt) == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        'a dog (small), [blue], dog++ and cat-, "quoted".and()',
        "(16:9) or (4:3)",
        "(dog:big)",
        "(dog:-1)",
        "(unclosed:1.2",
        "smile :) (",
        "(dog:12)",
    ],
)
def test_all_other_text_stays_as_it_is(prompt: str) -> None:
    assert "".join(text for text, _ in parts(prompt)) == prompt
    assert {weight for _, weight in parts(prompt)} <= {1.0}


def test_backslashes_make_parentheses_plain_text() -> None:
    assert parts(r"\(red:1.2\) dog") == [("(red:1.2) dog", 1.0)]
    assert parts(r"(a\):1.5)") == [("a)", 1.5)]
    assert parts(r"C:\temp") == [(r"C:\temp", 1.0)]


def test_weights_out_of_range_are_found() -> None:
    assert out_of_range_weights("a (dog:12) and a (cat:3) in (16:9)") == ["(dog:12)"]


def test_equal_weights_are_one_part() -> None:
    assert parse_prompt("a (red:1.0) dog") == [WeightedText("a red dog")]


def test_deeply_nested_parentheses_are_read_quickly() -> None:
    assert parts("(" * 1900 + ")" * 1900 + "(dog:1.2)")[-1] == ("dog", 1.2)
