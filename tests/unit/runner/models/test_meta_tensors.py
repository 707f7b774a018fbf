"""Operations on meta tensors give the same tensors as torch's own, without values."""

from collections.abc import Callable

import pytest
import torch

from darkroom_runner.models.meta_tensors import light_meta_tensors

Operation = Callable[[], torch.Tensor]


def empty(*sizes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(sizes, dtype=dtype, device="meta")


def built_inside(build: Operation) -> Operation:
    def operation() -> torch.Tensor:
        with torch.device("meta"):
            return build()

    return operation


OPERATIONS: dict[str, Operation] = {
    "arange": lambda: torch.arange(7, device="meta"),
    "arange with a step": lambda: torch.arange(1, 8, 3, device="meta", dtype=torch.float16),
    "arange with fractions": built_inside(lambda: torch.arange(0.0, 1.0, 0.25)),
    "arange in a model": built_inside(lambda: torch.arange(77).expand((1, -1))),
    "arange elsewhere": lambda: torch.arange(5),
    "empty_like on the CPU": lambda: torch.empty_like(empty(2, 3), device="cpu"),
    "empty_like of another type": lambda: torch.empty_like(empty(2, 3, dtype=torch.int64), dtype=torch.float16),
    "empty_like without a type": lambda: torch.empty_like(empty(2, 3, dtype=torch.float16), dtype=None, device=None),
    "empty_like of a transposed tensor": lambda: torch.empty_like(empty(2, 3).t()),
    "empty_like with a memory format": lambda: torch.empty_like(
        empty(1, 2, 3, 4), memory_format=torch.channels_last, device="cpu"
    ),
    "empty_like of a view": lambda: torch.empty_like(empty(1).expand(3, 4), device="cpu"),
    "normal_": lambda: torch.nn.init.normal_(empty(4, 5), std=0.02),
    "uniform_": lambda: torch.nn.init.uniform_(empty(4, 5)),
    "an embedding": built_inside(lambda: torch.nn.Embedding(3, 4).weight),
    "a linear layer": built_inside(lambda: torch.nn.Linear(3, 4).weight),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_gives_the_same_tensor_without_values(name: str) -> None:
    expected = OPERATIONS[name]()

    with light_meta_tensors():
        found = OPERATIONS[name]()

    assert (found.shape, found.dtype, found.device) == (expected.shape, expected.dtype, expected.device)
    assert (found.stride(), found.requires_grad) == (expected.stride(), expected.requires_grad)


def test_tensors_with_values_keep_them() -> None:
    with light_meta_tensors():
        numbers = torch.arange(3)
        drawn = torch.nn.init.uniform_(torch.zeros(4), 1.0, 2.0)

    assert numbers.tolist() == [0, 1, 2]
    assert drawn.min() >= 1.0
