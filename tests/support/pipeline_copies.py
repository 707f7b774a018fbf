"""Copies of a loaded pipeline by pickling, which take a fraction of the time of loading it or of `copy.deepcopy`."""

import io
import pickle
from collections.abc import Collection
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
import torch

from darkroom_contract.specs.training_choices import Quantization
from darkroom_runner.models import pretrained
from darkroom_runner.run.start_clock import StartClock, StartPart

_CONSTANT = bool | int | float | str | None


class PipelineCopies:
    """Makes copies of a pipeline as it is now, whatever is changed in it or in a copy later.

    Raises TypeError for what it can't copy: tensors of subclasses, whose inner tensors would be shared, tensors with
    attributes that can change, and functions that refer to variables of others.
    """

    def __init__(self, pipeline: Any) -> None:
        file = io.BytesIO()
        pickler = _Pickler(file)
        pickler.dump(pipeline)
        self._content = file.getvalue()
        self._kept = [_copied(each) if isinstance(each, torch.Tensor) else each for each in pickler.kept.values()]

    def copy(self) -> Any:
        """With tensors of its own."""
        return _Unpickler(io.BytesIO(self._content), self._kept).load()


class LoadedOnce:
    """While it is entered, the models in these folders, which nobody changes, are loaded at their first use only."""

    def __init__(self, folders: Collection[Path]) -> None:
        self._folders = folders
        self._load = pretrained.load_pipeline
        self._loaded: dict[object, PipelineCopies] = {}
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        for module in ("training.session", "models.kept_pipelines"):
            self._patch.setattr(f"darkroom_runner.{module}.load_pipeline", self._load_copy)

    def __exit__(self, *error: object) -> None:
        self._patch.undo()

    def _load_copy(
        self,
        model: pretrained.PretrainedModel,
        dtype: pretrained.Precision,
        torch_device: torch.device,
        quantization: Quantization = Quantization.DISABLED,
        start: StartClock | None = None,
    ) -> Any:
        if model.folder not in self._folders:
            return self._load(model, dtype, torch_device, quantization, start)
        key = (model, str(dtype), torch_device, quantization)
        if key not in self._loaded:
            self._loaded[key] = PipelineCopies(self._load(model, dtype, torch_device, quantization))
        start = start or StartClock()
        start.end(StartPart.WEIGHTS)
        start.end(StartPart.DEVICE)
        return self._loaded[key].copy()


class _Pickler(pickle.Pickler):
    """Leaves tensors and functions out. What it leaves out by its `id`, in the order of the numbers."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.kept: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}

    def persistent_id(self, thing: Any) -> int | None:
        if not isinstance(thing, torch.Tensor | FunctionType):
            return None
        _check(thing)
        self.kept[id(thing)] = thing
        return self._numbers.setdefault(id(thing), len(self._numbers))


class _Unpickler(pickle.Unpickler):
    """Puts functions in as they are, and a copy of each tensor."""

    def __init__(self, file: io.BytesIO, kept: list[Any]) -> None:
        super().__init__(file)
        self._kept = kept
        self._copied: dict[int, torch.Tensor] = {}

    def persistent_load(self, number: int) -> Any:
        original = self._kept[number]
        if not isinstance(original, torch.Tensor):
            return original
        if number not in self._copied:
            self._copied[number] = _copied(original)
        return self._copied[number]


def _check(thing: torch.Tensor | FunctionType) -> None:
    """Raises TypeError if copies would share what can be changed."""
    if isinstance(thing, FunctionType):
        if thing.__closure__:
            raise TypeError(f"{thing.__qualname__} refers to variables of another function: copies would share them")
    elif type(thing) not in (torch.Tensor, torch.nn.Parameter):
        raise TypeError(f"copies would share the inner tensors of a {type(thing).__name__}: load the pipeline again")
    elif shared := [name for name, value in vars(thing).items() if not isinstance(value, _CONSTANT)]:
        raise TypeError(f"copies would share the attributes {', '.join(shared)} of a tensor")


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    copied = tensor.detach().clone()
    if isinstance(tensor, torch.nn.Parameter):
        copied = torch.nn.Parameter(copied, tensor.requires_grad)
    copied.__dict__.update(tensor.__dict__)
    return copied
