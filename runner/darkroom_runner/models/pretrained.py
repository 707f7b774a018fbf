"""Finds and loads base models by name: from a folder of the model root, otherwise from the Hugging Face hub.

`darkroom_contract.base_models` parses names and finds folders. Only safetensors files are read. On CUDA, float16
weights (`*.fp16.safetensors`) are preferred where a model has them.
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
"""One dtype for the whole pipeline, or a dtype per component, with `default` for the rest."""


@dataclass(frozen=True)
class PretrainedModel:
    """A base model with a valid reference; it is loaded from the hub if `folder` is None."""

    name: str
    """The reference in the job: `name` or `owner/name`, optionally with `@revision`."""
    pipeline: str
    """Class name of its diffusers pipeline."""
    folder: Path | None

    def used(self, pipeline: Any = None) -> UsedModel:
        """The model for metadata and records. Pass the loaded `pipeline` to get the commit of a model from the hub."""
        folder = self.folder if pipeline is None else Path(pipeline.name_or_path)
        return UsedModel(reference=self.name, commit=None if folder is None else commit_of(folder))


def find_pretrained(name: str, pipeline: str, model_root: Path | None) -> PretrainedModel:
    """Find a base model for the given diffusers pipeline, without loading it.

    Raises `BaseModelNotFoundError`, or `ModelIncompatibleError` if the folder has another kind of model.
    """
    reference = _parse(name)
    folder = None if model_root is None else find_folder(reference, model_root)
    if folder is not None:
        _require_pipeline(folder, name, pipeline)
        return PretrainedModel(name, pipeline, folder)
    if not reference.may_be_on_hub:
        raise BaseModelNotFoundError(
            f"There is no base model {name!r} in the runner's model root. Put its folder there, "
            "or use the name of a hub repository (owner/name)."
        )
    return PretrainedModel(name, pipeline, None)


def _parse(name: str) -> Reference:
    try:
        return parse_reference(name)
    except ValueError as error:
        raise BaseModelNotFoundError(str(error)) from None


def _require_pipeline(folder: Path, name: str, pipeline: str) -> None:
    found = pipeline_of(folder)
    if found != pipeline:
        raise ModelIncompatibleError(f"The base model {name!r} is for {found}; this run needs one for {pipeline}.")


def load_pipeline(model: PretrainedModel, dtype: Precision, torch_device: "torch.device") -> Any:
    """Load a base model's diffusers pipeline onto a device, without progress bars.

    Raises `BaseModelNotFoundError` or `ModelIncompatibleError`.
    """
    pipeline = _from_folder(model, model.folder, dtype) if model.folder else _from_hub(model, dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(torch_device)


def _from_folder(model: PretrainedModel, folder: Path, dtype: Precision) -> Any:
    variant = _HALF if not _has_plain_weights(folder) else None
    try:
        return _from_pretrained(model, str(folder), dtype, variant)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if is_disk_full(error):
            raise
        raise ModelIncompatibleError(f"The base model {model.name!r} can't be loaded: {first_line(error)}") from error


def _has_plain_weights(folder: Path) -> bool:
    return any(not path.name.endswith(f".{_HALF}.safetensors") for path in (folder / "unet").glob("*.safetensors"))


def _from_hub(model: PretrainedModel, dtype: Precision) -> Any:
    import httpx

    log.info("%s is not in the model root: loading it from the hub", model.name)
    try:
        return _smallest_from_hub(model, dtype)
    except (OSError, ValueError, httpx.HTTPError) as error:
        if is_disk_full(error):
            raise
        raise BaseModelNotFoundError(
            f"The base model {model.name!r} is not in the runner's model root and can't be loaded from the hub: "
            f"{first_line(error)} Check the name and the connection to the hub, or put its folder into the model root."
        ) from error


def _smallest_from_hub(model: PretrainedModel, dtype: Precision) -> Any:
    """Load float16 files if the repository has them, unless float32 is requested."""
    import torch

    if dtype != torch.float32:
        try:
            return _from_pretrained(model, _download(model, _HALF), dtype, _HALF)
        except ValueError as error:
            log.info("%s has no %s weights: %s", model.name, _HALF, first_line(error))
    return _from_pretrained(model, _download(model, None), dtype, None)


def _download(model: PretrainedModel, variant: str | None) -> str:
    """Download one commit; returns its folder in the hub cache, since `from_pretrained` does not keep the commit."""
    import diffusers

    reference = parse_reference(model.name)
    kind = getattr(diffusers, model.pipeline)
    folder: str = kind.download(reference.name, revision=reference.revision, variant=variant, use_safetensors=True)
    return folder


def _from_pretrained(model: PretrainedModel, folder: str, dtype: Precision, variant: str | None) -> Any:
    import diffusers

    kind = getattr(diffusers, model.pipeline)
    # The invisible watermark needs another package and would change every image.
    extra = {"add_watermarker": False} if model.pipeline == SDXL else {}
    return kind.from_pretrained(folder, dtype=dtype, variant=variant, use_safetensors=True, **extra)
