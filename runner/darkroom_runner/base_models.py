"""Base models by name: a folder of the model root, else the hub. Called by both jobs.

Names are checked, and folders found, by `darkroom_contract.base_models`. Only safetensors are ever read. Where a
model has weights in half precision of their own (`*.fp16.safetensors`), CUDA takes those.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from darkroom_contract.base_models import (
    SDXL_PIPELINE,
    SVD_PIPELINE,
    Reference,
    UsedModel,
    commit_of,
    find_folder,
    parse_reference,
    pipeline_of,
)
from darkroom_runner.errors import BaseModelNotFoundError, ModelIncompatibleError, first_line, is_disk_full

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SDXL, SVD = SDXL_PIPELINE, SVD_PIPELINE
_HALF = "fp16"

Precision: TypeAlias = "torch.dtype | dict[str, torch.dtype]"
"""One for the whole pipeline, or by component with `default` for the rest."""


@dataclass(frozen=True)
class BaseModel:
    """A base model whose reference is sound; when `folder` is None it has to come from the hub."""

    name: str
    """The reference, as the job gives it: `name` or `owner/name`, perhaps with `@revision`."""
    pipeline: str
    """Name of the diffusers pipeline that it is made for."""
    folder: Path | None

    def used(self, pipeline: Any = None) -> UsedModel:
        """The model as provenance tells it. The commit of one from the hub is known once its `pipeline` is loaded."""
        folder = self.folder if pipeline is None else Path(pipeline.name_or_path)
        return UsedModel(reference=self.name, commit=None if folder is None else commit_of(folder))


def locate(name: str, pipeline: str, model_root: Path | None) -> BaseModel:
    """Find a base model without loading it.

    Raises `BaseModelNotFoundError`, or `ModelIncompatibleError` when the folder holds another kind of model.
    """
    reference = _parse(name)
    folder = None if model_root is None else find_folder(reference, model_root)
    if folder is not None:
        _check_kind(folder, name, pipeline)
        return BaseModel(name, pipeline, folder)
    if not reference.may_be_on_hub:
        raise BaseModelNotFoundError(
            f"There is no base model {name!r} in the runner's model root. Put its folder there, "
            "or name a repository of the hub as owner/name."
        )
    return BaseModel(name, pipeline, None)


def _parse(name: str) -> Reference:
    try:
        return parse_reference(name)
    except ValueError as error:
        raise BaseModelNotFoundError(str(error)) from None


def _check_kind(folder: Path, name: str, pipeline: str) -> None:
    found = pipeline_of(folder)
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
            return _from_pretrained(model, _download(model, _HALF), dtype, _HALF)
        except ValueError as error:
            log.info("%s has no %s weights: %s", model.name, _HALF, first_line(error))
    return _from_pretrained(model, _download(model, None), dtype, None)


def _download(model: BaseModel, variant: str | None) -> str:
    """The folder of the hub's cache with the files of one commit: `from_pretrained` forgets which it was."""
    import diffusers

    reference = parse_reference(model.name)
    kind = getattr(diffusers, model.pipeline)
    folder: str = kind.download(reference.name, revision=reference.revision, variant=variant, use_safetensors=True)
    return folder


def _from_pretrained(model: BaseModel, folder: str, dtype: Precision, variant: str | None) -> Any:
    import diffusers

    kind = getattr(diffusers, model.pipeline)
    # The invisible watermark is a package of its own, and would be drawn into every picture.
    extra = {"add_watermarker": False} if model.pipeline == SDXL else {}
    return kind.from_pretrained(folder, dtype=dtype, variant=variant, use_safetensors=True, **extra)
