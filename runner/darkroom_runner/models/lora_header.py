"""Checks a LoRA file by its header alone, without torch: a file that can't be used fails before any model is loaded."""

from pathlib import Path

from darkroom_contract.lora_names import LoraNames, classify
from darkroom_contract.safetensors_header import NotSafetensorsError, SafetensorsHeader, read_header
from darkroom_runner.errors import ModelIncompatibleError, first_line


def read_lora_header(path: Path, name: str) -> tuple[SafetensorsHeader, LoraNames]:
    """A file's header and the meaning of its names. Raises `ModelIncompatibleError` for a file that can't be used."""
    try:
        with path.open("rb") as file:
            header = read_header(file, path.stat().st_size)
    except (NotSafetensorsError, OSError) as error:
        raise ModelIncompatibleError(f"The file of LoRA {name!r} can't be read: {first_line(error)}") from error
    names = classify(header.tensors)
    if names.fault is not None:
        raise ModelIncompatibleError(f"LoRA {name!r} can't be used. {names.fault}")
    return header, names
