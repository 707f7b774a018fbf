"""Finds and loads base models by name: from a folder of the model root, otherwise from the Hugging Face hub.

`darkroom_contract.base_models` parses names and finds folders. Only safetensors files are read. On CUDA, float16
weights (`*.fp16.safetensors`) are preferred where a model has them.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
from darkroom_contract.specs.training_choices import Quantization
from darkroom_runner.errors import BaseModelNotFoundError, ModelIncompatibleError, first_line, is_disk_full
from darkroom_runner.models.weight_files import HALF, variant_of
from darkroom_runner.run.start_clock import StartClock, StartPart

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SDXL, SVD = SDXL_PIPELINE, SVD_PIPELINE

PIPELINE_MODULES = {
    SDXL: "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl",
    SVD: "diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion",
}
"""The module of each pipeline's class. `diffusers.StableDiffusionXLPipeline` imports it, too."""

Precision: TypeAlias = "torch.dtype | dict[str, torch.dtype]"
"""One dtype for the whole pipeline, or a dtype per component, with `default` for the rest."""

Load: TypeAlias = Callable[[str, str | None], Any]
"""Loads the pipeline from a folder, with the weights of a variant."""


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


def load_pipeline(
    model: PretrainedModel,
    dtype: Precision,
    torch_device: "torch.device",
    quantization: Quantization = Quantization.DISABLED,
    start: StartClock | None = None,
) -> Any:
    """Load a base model's diffusers pipeline onto a device, without progress bars; its U-Net may be quantized.

    The parts of a run's start that end here go to `start`. Raises `BaseModelNotFoundError` or `ModelIncompatibleError`.
    """
    settings = _quantization_settings(quantization, dtype)
    load = partial(_from_pretrained, model, dtype, settings)
    pipeline = _from_folder(model, model.folder, load) if model.folder else _from_hub(model, dtype, load)
    pipeline.set_progress_bar_config(disable=True)
    start = start or StartClock()
    start.end(StartPart.WEIGHTS)
    pipeline = pipeline.to(torch_device)
    start.end(StartPart.DEVICE)
    return pipeline


def _quantization_settings(quantization: Quantization, dtype: Precision) -> dict[str, Any]:
    """Settings of `from_pretrained`. The U-Net alone is quantized: it has nine tenths of the steps' weights."""
    if quantization is Quantization.DISABLED:
        return {}
    from diffusers import BitsAndBytesConfig, PipelineQuantizationConfig, TorchAoConfig

    if quantization is Quantization.NF4:
        compute = dtype.get("unet", dtype["default"]) if isinstance(dtype, dict) else dtype
        unet = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)
    else:
        from torchao.quantization import Float8WeightOnlyConfig

        unet = TorchAoConfig(Float8WeightOnlyConfig())
    return {"quantization_config": PipelineQuantizationConfig(quant_mapping={"unet": unet})}


def _from_folder(model: PretrainedModel, folder: Path, load: Load) -> Any:
    try:
        return load(str(folder), variant_of(folder))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if is_disk_full(error):
            raise
        raise ModelIncompatibleError(f"The base model {model.name!r} can't be loaded: {first_line(error)}") from error


def _from_hub(model: PretrainedModel, dtype: Precision, load: Load) -> Any:
    import httpx

    log.info("%s is not in the model root: loading it from the hub", model.name)
    try:
        return _smallest_from_hub(model, dtype, load)
    except (OSError, ValueError, httpx.HTTPError) as error:
        if is_disk_full(error):
            raise
        raise BaseModelNotFoundError(
            f"The base model {model.name!r} is not in the runner's model root and can't be loaded from the hub: "
            f"{_hub_answer(error)} Check the name and the connection to the hub, or put its folder into the model root."
        ) from error


def _hub_answer(error: Exception) -> str:
    """What the hub, or the connection to it, said: diffusers wraps it in advice about its own settings."""
    line = first_line(error if error.__cause__ is None else error.__cause__)
    return line if line.endswith(".") else f"{line}."


def _smallest_from_hub(model: PretrainedModel, dtype: Precision, load: Load) -> Any:
    """Load float16 files if the repository has them, unless float32 is requested."""
    import torch

    if dtype != torch.float32:
        try:
            return load(_download(model, HALF), HALF)
        except ValueError as error:
            log.info("%s has no %s weights: %s", model.name, HALF, first_line(error))
    return load(_download(model, None), None)


def _download(model: PretrainedModel, variant: str | None) -> str:
    """Download one commit; returns its folder in the hub cache, since `from_pretrained` does not keep the commit."""
    import diffusers

    reference = parse_reference(model.name)
    kind = getattr(diffusers, model.pipeline)
    folder: str = kind.download(reference.name, revision=reference.revision, variant=variant, use_safetensors=True)
    return folder


def hub_folder(model: PretrainedModel, known: Path) -> Path | None:
    """The folder in the hub cache with the commit that the model's name refers to now; None if it can't be loaded.

    `known` is the folder of an earlier load of the same name: a full commit in the name needs no request.
    """
    import httpx

    if parse_reference(model.name).revision == known.name:
        return known
    try:
        return Path(_download(model, variant_of(known)))
    except (OSError, ValueError, httpx.HTTPError):
        return None


def _from_pretrained(
    model: PretrainedModel, dtype: Precision, settings: dict[str, Any], folder: str, variant: str | None
) -> Any:
    import diffusers

    from darkroom_runner.models.meta_tensors import light_meta_tensors

    kind = getattr(diffusers, model.pipeline)
    # The invisible watermark needs another package and would change every image.
    extra = {"add_watermarker": False} if model.pipeline == SDXL else {}
    with light_meta_tensors():
        return kind.from_pretrained(folder, dtype=dtype, variant=variant, use_safetensors=True, **extra, **settings)
