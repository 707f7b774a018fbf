"""Copies of a pipeline share nothing that a test can change."""

from typing import Any

import pytest
import torch
from support.pipeline_copies import PipelineCopies


@pytest.fixture
def pipeline() -> dict[str, Any]:
    """A layer with parameters, of which another has one, too; and one with buffers."""
    layer, tied = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    tied.weight = layer.weight
    return {"layer": layer, "tied": tied, "norm": torch.nn.BatchNorm1d(2), "function": torch.nn.functional.silu}


def state(pipeline: dict[str, Any]) -> list[torch.Tensor]:
    return [each for name in ("layer", "tied", "norm") for each in pipeline[name].state_dict().values()]


def change(pipeline: dict[str, Any]) -> None:
    """In place, all of it."""
    with torch.no_grad():
        for each in {id(each): each for each in state(pipeline)}.values():
            each.add_(1)


def test_a_change_of_the_original_reaches_no_copy(pipeline: dict[str, Any]) -> None:
    copies, before = PipelineCopies(pipeline), [each.clone() for each in state(pipeline)]

    change(pipeline)

    torch.testing.assert_close(state(copies.copy()), before)


def test_a_change_of_a_copy_reaches_nothing_else(pipeline: dict[str, Any]) -> None:
    copies, before = PipelineCopies(pipeline), [each.clone() for each in state(pipeline)]
    earlier = copies.copy()

    change(copies.copy())

    for each in (pipeline, earlier, copies.copy()):
        torch.testing.assert_close(state(each), before)


def test_what_is_one_tensor_stays_one(pipeline: dict[str, Any]) -> None:
    pipeline["layer"].weight.requires_grad_(False)

    copy = PipelineCopies(pipeline).copy()

    assert copy["tied"].weight is copy["layer"].weight
    assert isinstance(copy["layer"].weight, torch.nn.Parameter)
    assert (copy["layer"].weight.requires_grad, copy["layer"].bias.requires_grad) == (False, True)


class Quantized(torch.Tensor):
    """As those of bitsandbytes and torchao."""


def with_attribute(value: object) -> torch.Tensor:
    tensor = torch.ones(1)
    tensor.note = value  # type: ignore[attr-defined]
    return tensor


def function_of(tensor: torch.Tensor) -> object:
    return lambda: tensor


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (torch.ones(1).as_subclass(Quantized), "the inner tensors of a Quantized"),
        (with_attribute([1]), "the attributes note"),
        (function_of(torch.ones(1)), "function_of.*refers to variables"),
    ],
    ids=["subclass", "attribute", "closure"],
)
def test_what_copies_would_share_is_refused(part: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        PipelineCopies({"part": part})


def test_constant_attributes_are_kept() -> None:
    copy = PipelineCopies({"part": with_attribute("new")}).copy()

    assert copy["part"].note == "new"
