"""The help of each command: every option is explained, and defaults are those of the contract."""

import re
from argparse import SUPPRESS, ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from typing import Any

import pytest

from darkroom_client.cli.parser import make_parser
from darkroom_client.cli.wording import GENERATE_OPTIONS, TRAIN_OPTIONS
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import MAX_IMAGES
from darkroom_contract.specs.train_job import TrainJobSpec

SMALLEST = {
    "modelId": "a",
    "prompt": "a",
    "dataset": {"uri": "s3://bucket/a/"},
    "startImage": {"uri": "s3://bucket/a.png"},
}
STATED = re.compile(r"\(default: ([-\d.]+)\)")


def parsers(parser: ArgumentParser) -> Iterator[ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


ALL = {parser.prog: parser for parser in parsers(make_parser())}


@pytest.mark.parametrize("prog", ALL)
def test_every_argument_is_explained(prog: str) -> None:
    actions = [each for each in ALL[prog]._actions if not isinstance(each, _SubParsersAction)]
    assert [each.dest for each in actions if not each.help or each.help == SUPPRESS] == []


@pytest.mark.parametrize(
    ("prog", "options", "model"),
    [
        ("darkroom train", TRAIN_OPTIONS, TrainJobSpec),
        ("darkroom generate", GENERATE_OPTIONS, GenerateJobSpec),
    ],
)
def test_defaults_in_the_help_are_those_of_the_contract(prog: str, options: dict[str, str], model) -> None:
    helps = {option: action.help for action in ALL[prog]._actions for option in action.option_strings}
    stated = {name: STATED.search(helps.get(option) or "") for name, option in options.items()}
    numbers = {name: float(found[1]) for name, found in stated.items() if found is not None}
    assert len(numbers) >= 4
    assert numbers == {name: value_of(model.from_dict(SMALLEST).to_dict(), name) for name in numbers}


def test_bounds_in_the_help_are_those_of_the_contract() -> None:
    help_of = {option: action.help for action in ALL["darkroom generate"]._actions for option in action.option_strings}
    assert f"1 to {MAX_IMAGES} " in (help_of["--count"] or "")


def value_of(document: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        document = document[name]
    return document


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("prog", ALL)
def test_help_fits_the_terminal(prog: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    usage, _, text = ALL[prog].format_help().partition("\n\n")
    prose = re.sub(r"examples:\n(  .*\n?)+", "", text).splitlines()
    assert usage.startswith("usage: darkroom")
    assert [line for line in prose if len(line) > int(columns)] == []
