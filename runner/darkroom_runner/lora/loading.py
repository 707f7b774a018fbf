"""Loads LoRA files of every supported form into a pipeline: for generating, several at once; and to train on from one.

Plain LoRAs become peft adapters, so that a LoRA of this runner gives bit for bit what its training had. All others
(DoRA, LoHa, LoKr, Tucker decompositions, differences) are added to the weights: peft can't mix them, and its DoRA at
scale 0 is not the base model. So are files with many ranks, such as resized ones. All changes are computed from the
original weights and summed, so their order does not matter, and a scale of 0 leaves the base model unchanged.
"""

import logging
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer

from darkroom_runner.errors import ModelIncompatibleError, first_line
from darkroom_runner.lora.adapters import ADAPTER
from darkroom_runner.lora.foreign_files import LoraFile, read_lora
from darkroom_runner.lora.weight_change import WeightChange

MAX_RANKS = 8
"""In a file whose layers become adapters: each rank is an adapter of its own, which takes about a second to add."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoraToLoad:
    """A file, its strength, and how messages call it."""

    path: Path
    scale: float
    name: str


def load_loras(pipeline: Any, loras: Sequence[LoraToLoad]) -> list[LoraFile]:
    """Load LoRAs into a pipeline without any, each with its scale.

    Raises `ModelIncompatibleError` if one can't be read, or not all of it matches the base model. The pipeline is then
    in an undefined state and must not be used.
    """
    # Sorted: sums of floating-point numbers depend on their order.
    loras = sorted(loras, key=lambda each: each.name)
    files = [read_lora(pipeline, each.path, each.name) for each in loras]
    scaled = [(file, each.scale) for file, each in zip(files, loras, strict=True)]
    _add_to_weights(pipeline, [each for each in scaled if not _becomes_adapters(each[0])])
    adapters = dict[str, float]()
    for file, scale in (each for each in scaled if _becomes_adapters(each[0])):
        adapters |= dict.fromkeys(_add_adapters(pipeline, file, len(adapters)), scale)
    if adapters:
        pipeline.set_adapters(list(adapters), adapter_weights=list(adapters.values()))
    for file, scale in scaled:
        log.info("LoRA %s (%s): all %d layers loaded, scale %g", file.name, file.form, len(file.changes), scale)
    return files


def _becomes_adapters(file: LoraFile) -> bool:
    return file.is_plain and len({change.rank for change in file.changes.values()}) <= MAX_RANKS


def _add_adapters(pipeline: Any, file: LoraFile, first: int) -> list[str]:
    """Add a plain LoRA as adapters, one for each rank in the file; returns their names, numbered from `first`."""
    by_rank = defaultdict[int, dict[tuple[str, str], WeightChange]](dict)
    for place, change in file.changes.items():
        by_rank[change.tensors["down"].shape[0]][place] = change
    names = list[str]()
    for rank, changes in sorted(by_rank.items()):
        number = first + len(names)
        names.append(ADAPTER if number == 0 else f"{ADAPTER}_{number}")
        for component in dict.fromkeys(component for component, _ in changes):
            paths = [path for of, path in changes if of == component]
            _add_adapter(getattr(pipeline, component), names[-1], rank, paths, file.name)
        for (component, path), change in changes.items():
            _fill(getattr(pipeline, component).get_submodule(path), names[-1], change)
    return names


def _add_adapter(model: Any, adapter: str, rank: int, paths: Iterable[str], name: str) -> None:
    # A pattern, since a list would match the ends of paths.
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="|".join(map(re.escape, paths)))
    try:
        with warnings.catch_warnings():
            # Several adapters in one model are meant.
            warnings.filterwarnings("ignore", "Already found a `peft_config` attribute", UserWarning)
            model.add_adapter(config, adapter_name=adapter)
    except (ValueError, RuntimeError) as error:
        raise ModelIncompatibleError(f"LoRA {name!r} does not fit this base model: {first_line(error)}") from error


def _fill(layer: LoraLayer, adapter: str, change: WeightChange) -> None:
    lora_a, lora_b = change.lora_matrices(tuple(layer.get_base_layer().weight.shape))
    for module, values in ((layer.lora_A[adapter], lora_a), (layer.lora_B[adapter], lora_b)):
        with torch.no_grad():
            module.weight.copy_(values)


def _add_to_weights(pipeline: Any, scaled: list[tuple[LoraFile, float]]) -> None:
    """Add the sum of all changes to each weight, rounding once to its precision."""
    of_module = defaultdict[tuple[str, str], list[tuple[WeightChange, float]]](list)
    for file, scale in scaled:
        for place, change in file.changes.items():
            of_module[place].append((change, scale))
    for (component, path), changes in of_module.items():
        layer = getattr(pipeline, component).get_submodule(path)
        with torch.no_grad():
            if any(scale for _, scale in changes):
                layer.weight.copy_(
                    layer.weight.float() + sum(scale * each.delta(layer.weight) for each, scale in changes)
                )
            biases = [scale * each.tensors["diff_b"] for each, scale in changes if "diff_b" in each.tensors]
            if biases:
                layer.bias.add_(sum(biases).to(layer.bias))  # type: ignore[union-attr]
