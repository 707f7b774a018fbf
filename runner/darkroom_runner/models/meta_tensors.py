"""Builds models on the meta device without torch's symbolic shapes.

transformers builds a model on the meta device before it reads its weights. A few operations on meta tensors are carried
out by torch's reference implementations in Python, which import SymPy and torch's symbolic shapes: 480 modules and 35
MiB, which stay for the whole run. `light_meta_tensors` carries them out in another way.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_METHODS = (torch.Tensor.normal_, torch.Tensor.uniform_)
_FUNCTIONS = (torch.nn.init.normal_, torch.nn.init.uniform_, torch.nn.init.kaiming_uniform_)
INITIALISATIONS = frozenset({*_METHODS, *_FUNCTIONS})
"""The functions name their tensor, and call the methods where this mode is not active."""


class light_meta_tensors(TorchFunctionMode):  # noqa: N801, named like other context managers
    """Inside the block, these operations return what they otherwise return, without the import.

    - Random initialisation of a meta tensor: it has no values, so it is returned as it is.
    - `torch.arange` on the meta device.
    - `torch.empty_like` of a contiguous meta tensor, on any device.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func in INITIALISATIONS and (tensor := args[0] if args else options["tensor"]).is_meta:
            return tensor
        if func is torch.arange and _is_meta(options.get("device")):
            return torch.arange(*args, **{**options, "device": "cpu"}).to("meta")
        if func is torch.empty_like and options.keys() <= {"dtype", "device"} and _is_contiguous_meta(args):
            source = args[0]
            dtype, device = (options.get(name) or getattr(source, name) for name in ("dtype", "device"))
            return torch.empty(source.shape, dtype=dtype, device=device)
        return func(*args, **options)


def _is_meta(device: Any) -> bool:
    return device is not None and torch.device(device).type == "meta"


def _is_contiguous_meta(args: tuple[Any, ...]) -> bool:
    return len(args) == 1 and args[0].is_meta and args[0].is_contiguous()
