"""The state of a loaded pipeline's models: their structure, which can be restored, and a checksum of their weights.

A run changes both. LoRA adapters replace layers, freeze parameters and leave attributes; caches replace `forward`;
LoRAs of other kinds are added to the weights. `ModelState` undoes the first and detects the second, whoever did it: it
does not depend on each library's way of unloading.
"""

from collections.abc import Iterable, MutableMapping, MutableSequence, MutableSet
from dataclasses import dataclass
from typing import Any

import torch


class ModelState:
    """The models as they were when this was created."""

    def __init__(self, models: Iterable[torch.nn.Module]) -> None:
        self._modules = [_ModuleState.of(module) for model in models for module in model.modules()]
        self._tensors = [_TensorState.of(tensor) for each in self._modules for tensor in each.tensors]
        self._checksums = _checksums([each.tensor for each in self._tensors])

    @property
    def bytes(self) -> int:
        """Of all weights."""
        return sum(each.tensor.numel() * each.tensor.element_size() for each in self._tensors)

    def restore(self) -> bool:
        """Restore layers, hooks, attributes and flags; returns whether all weights have their values, bit by bit.

        False means that the models can't be used for another run.
        """
        for module in self._modules:
            module.restore()
        if not all(each.restore() for each in self._tensors):
            return False
        return torch.equal(self._checksums, _checksums([each.tensor for each in self._tensors]))


@dataclass(frozen=True)
class _ModuleState:
    """A module, its attributes, and what its mutable attributes contain, such as its submodules and hooks."""

    module: torch.nn.Module
    attributes: dict[str, Any]
    contents: dict[str, Any]

    @classmethod
    def of(cls, module: torch.nn.Module) -> "_ModuleState":
        attributes = dict(module.__dict__)
        mutable = (MutableMapping, MutableSequence, MutableSet)
        contents = {name: _copied(value) for name, value in attributes.items() if isinstance(value, mutable)}
        return cls(module, attributes, contents)

    @property
    def tensors(self) -> list[torch.Tensor]:
        own = (*self.module.parameters(recurse=False), *self.module.buffers(recurse=False))
        return list(own)

    def restore(self) -> None:
        # Past `Module.__setattr__`, which would register and unregister.
        own = self.module.__dict__
        own.clear()
        own.update(self.attributes)
        for name, content in self.contents.items():
            if not _has_content(own[name], content):
                _refill(own[name], content)


@dataclass(frozen=True)
class _TensorState:
    """A parameter or buffer, and what may change beside its values."""

    tensor: torch.Tensor
    dtype: torch.dtype
    device: torch.device
    shape: torch.Size
    requires_grad: bool

    @classmethod
    def of(cls, tensor: torch.Tensor) -> "_TensorState":
        return cls(tensor, tensor.dtype, tensor.device, tensor.shape, tensor.requires_grad)

    def restore(self) -> bool:
        """Whether dtype, device and shape are the same. A gradient is dropped."""
        tensor = self.tensor
        if (tensor.dtype, tensor.device, tensor.shape) != (self.dtype, self.device, self.shape):
            return False
        tensor.grad = None
        tensor.requires_grad_(self.requires_grad)
        return True


def _copied(value: Any) -> Any:
    """The content alone: some of these containers refuse to be copied as what they are."""
    if isinstance(value, MutableMapping):
        return dict(value)
    return list(value) if isinstance(value, MutableSequence) else set(value)


def _has_content(value: Any, content: Any) -> bool:
    """By identity: elements may be tensors, whose equality is a tensor."""
    if len(value) != len(content):
        return False
    if isinstance(content, set):
        return bool(value == content)
    pairs = zip(value.items(), content.items(), strict=True) if isinstance(content, dict) else None
    if pairs is not None:
        return all(key == saved_key and one is saved for (key, one), (saved_key, saved) in pairs)
    return all(one is saved for one, saved in zip(value, content, strict=True))


def _refill(value: Any, content: Any) -> None:
    value.clear()
    value.extend(content) if isinstance(content, list) else value.update(content)


_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The type of the same size, by bytes of an element."""


def _checksums(tensors: list[torch.Tensor]) -> torch.Tensor:
    """The sum of each tensor's elements, their bits read as integers: exact, in any order, on the tensor's device."""
    sums = [each.detach().view(_INTEGERS[each.element_size()]).sum(dtype=torch.int64) for each in tensors]
    return torch.stack(sums).cpu() if sums else torch.zeros(0, dtype=torch.int64)
