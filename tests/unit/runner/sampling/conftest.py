"""Fixtures: models that overflow in half precision, and generations with them in this process."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.pipeline_copies import LoadedOnce

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.models.device import Device
from darkroom_runner.tasks.generate import GenerateTask
from darkroom_runner.tasks.text_to_image import load_text_to_image


@pytest.fixture
def poison(model_root: Path) -> Iterator[Callable[[str, tuple[str, str], float], str]]:
    """Copy a small model with one weight set to a value and without `force_upcast`; returns its name."""
    made: list[Path] = []

    def make(name: str, weight: tuple[str, str], value: float) -> str:
        folder = model_root / f"poisoned-{len(made)}"
        shutil.copytree(model_root / name, folder)
        made.append(folder)
        weights = load_file(folder / weight[0])
        weights[weight[1]] = torch.full_like(weights[weight[1]], value)
        save_file(weights, folder / weight[0], metadata={"format": "pt"})
        config = folder / "vae" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"force_upcast": False}))
        return folder.name

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture
def open_text_to_image(open_context: Callable[..., Any], loaded_once: LoadedOnce) -> Callable[..., Any]:
    """Load text to image on a device; also returns the task's inputs. `more` are further fields of the spec."""

    def start(
        base_model: str,
        device: Device,
        video_model: str = "test-svd",
        more: dict[str, Any] | None = None,
        **images: Any,
    ) -> Any:
        spec = GenerateJobSpec.from_dict(
            {
                "prompt": "a dog",
                "images": {"steps": 2, **images},
                "video": {"steps": 2},
                "allowMotion": True,
                "cache": {"profile": "Disabled"},
                **(more or {}),
            }
        )
        context = open_context(spec, base_model, video_model)
        inputs = GenerateTask(context, spec).download()
        with loaded_once:
            return load_text_to_image(context, spec, inputs.base_model, inputs.loras, device, inputs.start), inputs

    return start
