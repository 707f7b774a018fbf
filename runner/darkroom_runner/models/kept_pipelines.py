"""Keeps the pipelines of base models in memory from one run of the process to the next.

At most one of each kind (SDXL, SVD) is kept, for generations only: a training changes too much of its models. Each run
gets a copy of the pipeline with a new sampler, on the same models. After the run `restore` puts the models back into
the state in which they were loaded, and drops a pipeline whose weights differ from it in any bit. A pipeline serves
another run only if the folder, its files, the precision and the device are the same.
"""

import copy
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom_runner.models.pretrained import PretrainedModel, hub_folder, load_pipeline
from darkroom_runner.run.start_clock import StartClock

if TYPE_CHECKING:
    from darkroom_runner.models.device import Device
    from darkroom_runner.models.pipeline_state import ModelState

log = logging.getLogger(__name__)

FREE_FACTOR = 10
"""Another model is loaded beside a kept pipeline only while free memory is this many times what the pipeline takes."""

Files = tuple[tuple[str, int, int, int], ...]
"""Path, size, modification time in ns and inode of each file of a folder, sorted."""


@dataclass(frozen=True)
class _Key:
    """What the loaded weights depend on."""

    folder: Path
    files: Files
    dtype: Any
    torch_device: Any


@dataclass(frozen=True)
class _Kept:
    """A pipeline, never used itself, and its state after loading."""

    name: str
    """The reference of the job that loaded it."""
    key: _Key
    pipeline: Any
    state: "ModelState"

    def lend(self) -> Any:
        """A copy for one run: what the run sets on it, such as the sampler, is gone with it."""
        pipeline = copy.copy(self.pipeline)
        pipeline.scheduler = copy.deepcopy(self.pipeline.scheduler)
        return pipeline


class KeptPipelines:
    """Loads pipelines; with `keeping`, for later runs too."""

    def __init__(self, keeping: bool = False) -> None:
        self._keeping = keeping
        self._kept: dict[str, _Kept] = {}
        """By the class name of the pipeline."""

    def bytes_on(self, device_type: str) -> int:
        """Of all kept weights on a type of device, such as `cpu`."""
        return sum(kept.state.bytes for kept in self._kept.values() if kept.key.torch_device.type == device_type)

    def load(self, model: PretrainedModel, device: "Device", start: StartClock | None = None) -> Any:
        """A pipeline for one run, in the device's precision for inference.

        Raises `BaseModelNotFoundError` or `ModelIncompatibleError`.
        """
        if not self._keeping:
            return load_pipeline(model, device.inference_dtype, device.torch_device, start=start)
        kept = self._kept.get(model.pipeline)
        key = _find_key(model, device, kept)
        if kept is not None and kept.key == key:
            log.info("%s is in memory from an earlier run", model.name)
            return kept.lend()
        kept = None  # It refers to the weights that are dropped.
        self._drop(model.pipeline)
        self._drop_without_plenty(device)
        pipeline = load_pipeline(model, device.inference_dtype, device.torch_device, start=start)
        return self._keep(model, device, key, pipeline)

    def release(self, pipeline: Any, device: "Device") -> None:
        """Free the memory of a pipeline that the run does not need any longer. It can't be used afterwards.

        A kept one stays in memory if there is plenty.
        """
        from darkroom_runner.models.device import release

        if any(kept.pipeline.unet is pipeline.unet for kept in self._kept.values()):
            self._drop_without_plenty(device)
        else:
            release(pipeline)

    def restore(self) -> None:
        """Put all models back into the state in which they were loaded. Call after each run."""
        for kind, kept in list(self._kept.items()):
            if not kept.state.restore():
                log.info("%s is dropped from memory: the run changed its weights", kept.name)
                self._drop(kind)

    def drop(self) -> None:
        """Free the memory of all kept pipelines."""
        for kind in list(self._kept):
            self._drop(kind)

    def _drop_without_plenty(self, device: "Device") -> None:
        from darkroom_runner.models.free_memory import free_bytes

        for kind in list(self._kept):
            if free_bytes(device) < FREE_FACTOR * self._kept[kind].state.bytes:
                log.info("%s is dropped from memory to make space for another model", self._kept[kind].name)
                self._drop(kind)

    def _drop(self, kind: str) -> None:
        from darkroom_runner.models.device import release

        if kind in self._kept:
            # Without a reference to the state, which has one to all weights.
            release(self._kept.pop(kind).pipeline)

    def _keep(self, model: PretrainedModel, device: "Device", key: _Key | None, pipeline: Any) -> Any:
        import torch

        from darkroom_runner.models.pipeline_state import ModelState

        # Only now the folder of a model from the hub is known: its name has the commit, so that it can't change.
        key = key or _key(Path(pipeline.name_or_path), device)
        if key is None:
            return pipeline
        state = ModelState(each for each in pipeline.components.values() if isinstance(each, torch.nn.Module))
        kept = self._kept[model.pipeline] = _Kept(model.name, key, pipeline, state)
        return kept.lend()


def _find_key(model: PretrainedModel, device: "Device", kept: _Kept | None) -> _Key | None:
    """The key of what would be loaded now; None if only loading shows it."""
    folder = model.folder
    if folder is None and kept is not None and kept.name == model.name:
        folder = hub_folder(model, kept.key.folder)
    return None if folder is None else _key(folder, device)


def _key(folder: Path, device: "Device") -> _Key | None:
    try:
        # Before loading: files that change meanwhile are read again by the next run.
        return _Key(folder, _files(folder), device.inference_dtype, device.torch_device)
    except OSError:
        return None


def _files(folder: Path) -> Files:
    found = []
    for path, _, names in os.walk(folder, followlinks=True):
        for name in names:
            facts = os.stat(Path(path, name))
            found.append((f"{path}/{name}", facts.st_size, facts.st_mtime_ns, facts.st_ino))
    return tuple(sorted(found))
