"""Reads LoRA files of every supported form and matches all their tensors to the modules of a loaded pipeline.

Nothing is ever left out: a file of which one tensor has no place is refused with the list. The contract's `lora_names`
knows the names; `weight_change` computes with the tensors.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from darkroom_contract.lora_names import LoraForm, LoraKind, LoraModule, LoraNames, shortened
from darkroom_runner.errors import ModelIncompatibleError, first_line
from darkroom_runner.lora.module_names import module_paths
from darkroom_runner.lora.weight_change import WeightChange, shape_fault
from darkroom_runner.models.lora_header import read_lora_header

CONFIG_KEY = "lora_adapter_metadata"
"""Metadata key under which diffusers keeps peft's adapter configuration, by component."""


@dataclass(frozen=True)
class LoraFile:
    """A LoRA file whose every tensor belongs to a module of the pipeline."""

    name: str
    """How messages call it."""
    form: LoraForm
    changes: dict[tuple[str, str], WeightChange]
    """By the pipeline's component and the path of the module in it."""
    metadata: dict[str, str]

    @property
    def kinds(self) -> tuple[LoraKind, ...]:
        return tuple(sorted({change.kind for change in self.changes.values()}))

    @property
    def is_plain(self) -> bool:
        """Whether all of it are two matrices per module: no DoRA, Tucker decomposition, LoHa, LoKr or difference."""
        return all(change.is_plain for change in self.changes.values())


def read_lora(pipeline: Any, path: Path, name: str) -> LoraFile:
    """Read a file and match all of it to the pipeline's modules, which may have adapters already.

    Raises `ModelIncompatibleError`, with the first few tensors that have no place, if it does not fit completely, and
    for NaN or infinite values: they would spoil every image, even at scale 0.
    """
    header, names = read_lora_header(path, name)
    paths = module_paths(pipeline)
    unmatched = tuple(
        tensor for key, module in names.modules.items() if key not in paths for tensor in module.tensors.values()
    )
    if unmatched:
        raise _misfit(name, f"{len(unmatched)} of its {len(header.tensors)} tensors match no layer", unmatched)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ModelIncompatibleError(f"The file of LoRA {name!r} can't be read: {first_line(error)}") from error
    _require_finite(tensors, name)
    alphas = _HeaderAlphas.parse(header.metadata, name)
    changes: dict[tuple[str, str], WeightChange] = {}
    for key, module in names.modules.items():
        place = key[0], paths[key]
        if place in changes:
            raise _misfit(name, "it has two sets of weights for one layer", tuple(module.tensors.values()))
        changes[place] = _change(module, tensors, alphas, place)
    _require_shapes(pipeline, changes, names, paths, name)
    return LoraFile(name, names.form, changes, header.metadata)


def _require_finite(tensors: Mapping[str, torch.Tensor], name: str) -> None:
    faulty = tuple(sorted(each for each, tensor in tensors.items() if not torch.isfinite(tensor).all()))
    if faulty:
        raise ModelIncompatibleError(
            f"LoRA {name!r} can't be used: {len(faulty)} of its {len(tensors)} tensors have NaN or infinite values: "
            f"{shortened(faulty)}. Use an earlier step of it, or train it again with a lower learning rate."
        )


def _change(
    module: LoraModule, tensors: Mapping[str, torch.Tensor], alphas: "_HeaderAlphas", place: tuple[str, str]
) -> WeightChange:
    roles = {role: tensors[name].float() for role, name in module.tensors.items()}
    alpha = roles.pop("alpha", None)
    change = WeightChange(module.kind, roles)
    if change.rank is None:
        return change
    if alpha is not None:
        # LyCORIS writes 0 for "no scaling".
        return change.scaled(float(alpha.flatten()[0]) / change.rank if alpha.count_nonzero() else 1.0)
    return change.scaled(alphas.factor(*place, change.rank))


def _require_shapes(
    pipeline: Any,
    changes: Mapping[tuple[str, str], WeightChange],
    names: LoraNames,
    paths: Mapping[tuple[str, str], str],
    name: str,
) -> None:
    faults = {}
    for (component, flat), module in names.modules.items():
        layer = getattr(pipeline, component).get_submodule(paths[component, flat])
        layer = layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer
        fault = shape_fault(changes[component, paths[component, flat]], layer)
        if fault is not None:
            faults[next(iter(module.tensors.values()))] = fault
    if faults:
        first = next(iter(faults.values()))
        raise _misfit(
            name, f"{len(faults)} of its {len(names.modules)} layers have other shapes ({first})", tuple(faults)
        )


def _misfit(name: str, what: str, tensors: tuple[str, ...]) -> ModelIncompatibleError:
    return ModelIncompatibleError(
        f"LoRA {name!r} does not fit this base model: {what}: {shortened(tensors)}. Use the base model that it was "
        "trained on. A LoRA is never loaded in part."
    )


@dataclass(frozen=True)
class _HeaderAlphas:
    """Alphas of peft's adapter configuration in a file's metadata. Without one, alpha equals the rank."""

    config: Mapping[str, Any]

    @classmethod
    def parse(cls, metadata: Mapping[str, str], name: str) -> "_HeaderAlphas":
        """Raises `ModelIncompatibleError` for a configuration that can't be read: its strength is unknown."""
        text = metadata.get(CONFIG_KEY)
        try:
            config = json.loads(text) if text is not None else {}
            if not isinstance(config, dict) or not all(_is_plain_entry(*each) for each in config.items()):
                raise ValueError("unexpected entries")
        except (ValueError, RecursionError) as error:
            raise ModelIncompatibleError(
                f"LoRA {name!r} can't be used: {CONFIG_KEY} in its header, which has its strength, can't be read "
                f"({first_line(error)}). Save it again with diffusers."
            ) from error
        return cls(config)

    def factor(self, component: str, path: str, rank: int) -> float:
        """alpha / rank of a module, or alpha / sqrt(rank) for rsLoRA (arXiv 2312.03732).

        Patterns for text encoders may have the outer `text_model` that transformers 5 removed, or not.
        """
        names = (f".{path}", f".text_model.{path}")
        alpha = self.config.get(f"{component}.lora_alpha")
        for pattern, value in (self.config.get(f"{component}.alpha_pattern") or {}).items():
            suffix = f".{_pattern_suffix(pattern)}"
            if any(name.endswith(suffix) for name in names):
                alpha = value
                break
        if alpha is None:
            return 1.0
        return alpha / (sqrt(rank) if self.config.get(f"{component}.use_rslora") else rank)


def _is_plain_entry(key: str, value: Any) -> bool:
    """Patterns are regular expressions in peft. Only plain names, as trainers write them, are read."""
    if key.endswith(".lora_alpha"):
        return _is_number(value)
    if key.endswith(".alpha_pattern"):
        return value is None or (
            isinstance(value, dict)
            and all(re.fullmatch(r"[\w.]+", _pattern_suffix(pattern)) for pattern in value)
            and all(map(_is_number, value.values()))
        )
    return True


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e6


def _pattern_suffix(pattern: str) -> str:
    return pattern.removeprefix("^").removesuffix("$").replace("\\.", ".")
