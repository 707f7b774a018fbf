"""The change of a module's weight that a LoRA file describes: LoRA, DoRA, LoHa, LoKr and plain differences.

Formulas as in LyCORIS (https://github.com/KohakuBlueleaf/LyCORIS, arXiv 2309.14859); all in float32.
"""

from dataclasses import dataclass, replace
from math import prod

import torch

from darkroom_contract.lora_names import LoraKind

_RANK_ROLES = ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b")
"""Tensors whose first side is the rank."""
_MAGNITUDES = frozenset({"dora_scale", "magnitude"})
"""DoRA's: `dora_scale` of LyCORIS, `magnitude` of peft."""


@dataclass(frozen=True)
class WeightChange:
    """The tensors for one module, by role; `lora_names` checked that they are complete."""

    kind: LoraKind
    tensors: dict[str, torch.Tensor]
    factor: float = 1.0
    """alpha / rank."""

    def scaled(self, factor: float) -> "WeightChange":
        return replace(self, factor=factor)

    @property
    def rank(self) -> int | None:
        """None for a change without low-rank factors, to which no alpha applies."""
        return next((self.tensors[role].shape[0] for role in _RANK_ROLES if role in self.tensors), None)

    @property
    def is_plain(self) -> bool:
        return self.kind is LoraKind.LORA and self.tensors.keys() == {"down", "up"}

    @property
    def is_dora(self) -> bool:
        return not _MAGNITUDES.isdisjoint(self.tensors)

    @property
    def magnitude(self) -> torch.Tensor:
        """DoRA's trained norms."""
        return self.tensors["magnitude" if "magnitude" in self.tensors else "dora_scale"]

    def lora_matrices(self, weight_shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """peft's `lora_A` and `lora_B` for a weight of that shape; alpha / rank is multiplied into `lora_B`.

        Exact where the factor is a power of two; otherwise rounded once in float32.
        """
        down, up = self.tensors["down"], self.tensors["up"]
        ones = (1,) * (len(weight_shape) - 2)
        lora_a = down.reshape(down.shape[0], *weight_shape[1:])
        return lora_a, up.reshape(*up.shape[:2], *ones) * self.factor

    def delta(self, weight: torch.Tensor) -> torch.Tensor:
        """What is added to `weight` at scale 1, in float32 on the weight's device.

        With DoRA (arXiv 2402.09353) the sum of both gets the magnitude that was trained. A scale other than 1
        interpolates between the base model and that, as in ComfyUI: at scale 0 nothing changes.
        """
        original = weight.float()
        tensors = {role: tensor.to(weight.device) for role, tensor in self.tensors.items()}
        change = _DELTAS[self.kind](tensors, weight.shape).reshape(weight.shape) * self.factor
        if self.is_dora:
            change = self.with_magnitude(original + change) - original
        return change

    def with_magnitude(self, weight: torch.Tensor) -> torch.Tensor:
        """`weight` with the trained norm of each output, or of each input, as older LyCORIS has it: by its shape."""
        side = int(self.has_magnitudes_of_inputs(weight.shape))
        axes = tuple(axis for axis in range(weight.dim()) if axis != side)
        norm = torch.linalg.vector_norm(weight, dim=axes, keepdim=True)
        magnitude = self.magnitude.to(weight.device).reshape(norm.shape)
        return weight * (magnitude / (norm + torch.finfo(torch.float32).eps))

    def has_magnitudes_of_inputs(self, weight_shape: torch.Size) -> bool:
        outputs, inputs = weight_shape[:2]
        scale = self.tensors.get("dora_scale")
        return scale is not None and scale.shape[0] != outputs and scale.numel() == inputs


def weight_shape(layer: torch.nn.Module) -> torch.Size:
    """Of a layer's weight, (outputs, inputs, …), also when quantization packs its elements into another shape."""
    if isinstance(layer, torch.nn.Linear):
        return torch.Size((layer.out_features, layer.in_features))
    shape: torch.Size = layer.weight.shape  # type: ignore[assignment]
    return shape


def shape_fault(change: WeightChange, module: torch.nn.Module) -> str | None:
    """How a change does not fit its module, such as `(64, 16), not (32, 16)`; None if it fits."""
    if not isinstance(module.weight, torch.Tensor):
        return "the layer has no weight"
    shape = weight_shape(module)
    if change.kind is not LoraKind.DIFFERENCE and not isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
        return f"a {type(module).__name__} is neither linear nor a convolution"
    if change.kind is LoraKind.LORA and (fault := _lora_fault(change.tensors, tuple(shape))) is not None:
        return fault
    if "diff_b" in change.tensors:
        bias = getattr(module, "bias", None)
        if bias is None or bias.shape != change.tensors["diff_b"].shape:
            return (
                f"a bias of {tuple(change.tensors['diff_b'].shape)}, not {None if bias is None else tuple(bias.shape)}"
            )
    try:
        # On the meta device: shapes alone.
        tensors = {role: tensor.to("meta") for role, tensor in change.tensors.items()}
        result = _DELTAS[change.kind](tensors, shape)
        if result.numel() != prod(shape) or result.shape[0] != shape[0]:
            return f"{tuple(result.shape)}, not {tuple(shape)}"
        if change.is_dora:
            change.with_magnitude(result.reshape(shape))
    except (RuntimeError, ValueError, IndexError) as error:
        return str(error).splitlines()[0][:100]
    return None


def _lora_fault(tensors: dict[str, torch.Tensor], weight: tuple[int, ...]) -> str | None:
    """Both matrices in detail: equal numbers of elements are not enough for them."""
    down, up = tuple(tensors["down"].shape), tuple(tensors["up"].shape)
    kernel = (1,) * (len(weight) - 2) if "mid" in tensors else weight[2:]
    if len(down) < 2 or _trimmed(down[1:]) != _trimmed((weight[1], *kernel)):
        return f"{down}, not (rank, {', '.join(map(str, (weight[1], *kernel)))})"
    if _trimmed(up) != _trimmed((weight[0], down[0])):
        return f"{up}, not {(weight[0], down[0])}"
    return None


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the sides of 1 behind the second: 1×1 convolutions and linear layers are the same."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _lora(tensors: dict[str, torch.Tensor], shape: torch.Size) -> torch.Tensor:
    down, up = tensors["down"], tensors["up"].flatten(1)
    if "mid" in tensors:
        return torch.einsum("ij...,pi,jr->pr...", tensors["mid"], up, down.flatten(1))
    return up @ down.flatten(1)


def _loha(tensors: dict[str, torch.Tensor], shape: torch.Size) -> torch.Tensor:
    return _hada_factor(tensors, 1) * _hada_factor(tensors, 2)


def _hada_factor(tensors: dict[str, torch.Tensor], number: int) -> torch.Tensor:
    first, second = tensors[f"hada_w{number}_a"], tensors[f"hada_w{number}_b"]
    core = tensors.get(f"hada_t{number}")
    return first @ second.flatten(1) if core is None else torch.einsum("ij...,ip,jr->pr...", core, first, second)


def _lokr(tensors: dict[str, torch.Tensor], shape: torch.Size) -> torch.Tensor:
    factors = []
    for number in (1, 2):
        whole = tensors.get(f"lokr_w{number}")
        if whole is None:
            first, second = tensors[f"lokr_w{number}_a"], tensors[f"lokr_w{number}_b"]
            core = tensors.get("lokr_t2") if number == 2 else None
            whole = (
                first @ second.flatten(1) if core is None else torch.einsum("ij...,ip,jr->pr...", core, first, second)
            )
        factors.append(whole.flatten(1))
    product = torch.kron(*factors)
    # kron's columns are (inputs of w1) × (inputs of w2 × kernel): in order, the weight's own.
    return product.reshape(product.shape[0], prod(shape[1:]))


def _difference(tensors: dict[str, torch.Tensor], shape: torch.Size) -> torch.Tensor:
    return tensors["diff"].reshape(tensors["diff"].shape[0], *shape[1:])


_DELTAS = {LoraKind.LORA: _lora, LoraKind.LOHA: _loha, LoraKind.LOKR: _lokr, LoraKind.DIFFERENCE: _difference}
