"""Base models by name: a folder of the model root, else the hub. Called by both jobs.

A name is checked by the contract's pattern before it becomes part of a path. Only safetensors are ever read. Where a
model has weights in half precision of their own (`*.fp16.safetensors`), CUDA takes those.
"""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from darkroom_contract.names import BASE_MODEL_PATTERN
from darkroom_runner.errors import BaseModelNotFoundError, ModelIncompatibleError, first_line, is_disk_full

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SDXL = "StableDiffusionXLPipeline"
SVD = "StableVideoDiffusionPipeline"
_HALF = "fp16"

Precision: TypeAlias = "torch.dtype | dict[str, torch.dtype]"
"""One for the whole pipeline, or by component with `default` for the rest."""


@dataclass(frozen=True)
class BaseModel:
    """A base model whose name is sound; when `folder` is None it has to come from the hub."""

    name: str
    pipeline: str
    """Name of the diffusers pipeline that it is made for."""
    folder: Path | None


def locate(name: str, pipeline: str, model_root: Path | None) -> BaseModel:
    """Find a base model without loading it.

    Raises `BaseModelNotFoundError`, or `ModelIncompatibleError` when the folder holds another kind of model.
    """
    if not re.fullmatch(BASE_MODEL_PATTERN, name):
        raise BaseModelNotFoundError(f"{name!r} is no name of a base model: give a folder's name or owner/name.")
    folder = None if model_root is None else model_root / name
    if folder is not None and (folder / "model_index.json").is_file():
        _check_kind(folder, name, pipeline)
        return BaseModel(name, pipeline, folder)
    if "/" not in name:
        raise BaseModelNotFoundError(
            f"There is no base model {name!r} in the runner's model root. Put its folder there, "
            "or name a repository of the hub as owner/name."
        )
    return BaseModel(name, pipeline, None)


def _check_kind(folder: Path, name: str, pipeline: str) -> None:
    found = json.loads((folder / "model_index.json").read_text(encoding="utf-8")).get("_class_name")
    if found != pipeline:
        raise ModelIncompatibleError(f"The base model {name!r} is for {found}; this run needs one for {pipeline}.")


def load_pipeline(model: BaseModel, dtype: Precision, place: "torch.device") -> Any:
    """The diffusers pipeline of a base model, on its device, silent in the log."""
    pipeline = _from_folder(model, model.folder, dtype) if model.folder else _from_hub(model, dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(place)


def _from_folder(model: BaseModel, folder: Path, dtype: Precision) -> Any:
    variant = _HALF if not _has_plain_weights(folder) else None
    try:
        return _from_pretrained(model, str(folder), dtype, variant)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if is_disk_full(error):
            raise
        raise ModelIncompatibleError(f"The base model {model.name!r} can't be loaded: {first_line(error)}") from error


def _has_plain_weights(folder: Path) -> bool:
    return any(not path.name.endswith(f".{_HALF}.safetensors") for path in (folder / "unet").glob("*.safetensors"))


def _from_hub(model: BaseModel, dtype: Precision) -> Any:
    import httpx

    log.info("%s is not in the model root: asking the hub", model.name)
    try:
        return _smallest_from_hub(model, dtype)
    except (OSError, ValueError, httpx.HTTPError) as error:
        if is_disk_full(error):
            raise
        raise BaseModelNotFoundError(
            f"The base model {model.name!r} is neither in the runner's model root nor to be had from the hub: "
            f"{first_line(error)} Check the name and the way to the hub, or put the model's folder into the model root."
        ) from error


def _smallest_from_hub(model: BaseModel, dtype: Precision) -> Any:
    """Half-precision files where the repository has them and half precision is what is asked for."""
    import torch

    if dtype != torch.float32:
        try:
            return _from_pretrained(model, model.name, dtype, _HALF)
        except ValueError as error:
            log.info("%s has no %s weights: %s", model.name, _HALF, first_line(error))
    return _from_pretrained(model, model.name, dtype, None)


def _from_pretrained(model: BaseModel, source: str, dtype: Precision, variant: str | None) -> Any:
    import diffusers

    kind = getattr(diffusers, model.pipeline)
    # The invisible watermark is a package of its own, and would be drawn into every picture.
    extra = {"add_watermarker": False} if model.pipeline == SDXL else {}
    return kind.from_pretrained(source, dtype=dtype, variant=variant, use_safetensors=True, **extra)
