"""Starts a training from an existing LoRA: puts its weights into the fresh adapters, or refuses it with what to set."""

from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from darkroom_contract.lora_names import UNET
from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.lora.adapters import ADAPTER, Adapters
from darkroom_runner.lora.foreign_files import LoraFile, read_lora
from darkroom_runner.lora.weight_change import WeightChange, weight_shape

_DORA = {"magnitude", "dora_scale"}


def load_initial_lora(pipeline: Any, adapters: Adapters, path: Path, name: str) -> None:
    """Give the adapters that `add_adapters` made the weights of a LoRA file; they then have its effect at once.

    Raises `ModelIncompatibleError` if the file can't be read, or not exactly all of its weights have a place: for
    another base model, rank, choice of layers, or kind than the training's.
    """
    file = read_lora(pipeline, path, name)
    layers = {
        (component, module_path): module
        for component, model in adapters.models.items()
        for module_path, module in model.named_modules()
        if isinstance(module, LoraLayer) and ADAPTER in module.lora_A
    }
    if (why := _obstacle(file, layers, adapters.rank)) is not None:
        raise ModelIncompatibleError(f"The training can't continue from LoRA {name!r}: {why}")
    for place, change in file.changes.items():
        _fill(layers[place], change, adapters.rank / adapters.alpha)


def _obstacle(file: LoraFile, layers: dict[tuple[str, str], LoraLayer], rank: int) -> str | None:
    """Why the file does not fit the training's adapters, and what to set."""
    if any(change.tensors.keys() - _DORA != {"down", "up"} for change in file.changes.values()):
        return (
            f"it is a {' and '.join(file.kinds)} with other parts than two matrices. Only LoRA and DoRA can be trained."
        )
    ranks = sorted({change.tensors["down"].shape[0] for change in file.changes.values()})
    if ranks != [rank]:
        if len(ranks) > 1:
            return f"its layers have different ranks ({ranks[0]} to {ranks[-1]}). Continue from a LoRA of one rank."
        return f"it has rank {ranks[0]}, and training.rank is {rank}. Set training.rank to {ranks[0]}."
    text_encoders = {component for component, _ in file.changes} - {UNET}
    if text_encoders != {component for component, _ in layers} - {UNET}:
        count, wanted = ("", "true") if text_encoders else ("no ", "false")
        return f"it has {count}layers of text encoders. Set training.trainTextEncoders to {wanted}."
    missing, excess = layers.keys() - file.changes.keys(), file.changes.keys() - layers.keys()
    if missing or excess:
        first = ".".join(min(missing or excess))
        return (
            f"{len(missing)} layers of this training are not in it, and {len(excess)} of its layers are not in this "
            f"training (such as {first}). Set training.layers to the one that it was trained with."
        )
    return _dora_obstacle([(change, layers[place]) for place, change in file.changes.items()])


def _dora_obstacle(pairs: list[tuple[WeightChange, LoraLayer]]) -> str | None:
    in_file = {change.is_dora for change, _ in pairs}
    in_training = any(ADAPTER in layer.lora_magnitude_vector for _, layer in pairs)
    if any(change.has_magnitudes_of_inputs(weight_shape(layer.get_base_layer())) for change, layer in pairs):
        return "its DoRA has a magnitude for each input of a layer. Only one for each output can be trained."
    if in_file == {in_training}:
        return None
    if len(in_file) > 1:
        return "it is a DoRA in some layers only. Continue from a LoRA that is one in all of them, or in none."
    return f"it is {'no ' if in_training else 'a '}DoRA. Set training.dora to {'false' if in_training else 'true'}."


def _fill(layer: LoraLayer, change: WeightChange, factor: float) -> None:
    """`factor` is rank / alpha of the training: the adapter's output is divided by it again."""
    lora_a, lora_b = change.lora_matrices(tuple(weight_shape(layer.get_base_layer())))
    with torch.no_grad():
        layer.lora_A[ADAPTER].weight.copy_(lora_a)
        layer.lora_B[ADAPTER].weight.copy_(lora_b * factor)
        if change.is_dora:
            magnitude = layer.lora_magnitude_vector[ADAPTER].weight
            magnitude.copy_(change.magnitude.reshape(magnitude.shape))
