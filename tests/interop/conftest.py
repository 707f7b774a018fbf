"""Interoperability with other releases of diffusers, with peft and LyCORIS, each in an environment of its own.

`make test-interop` runs these tests; `make test` doesn't collect them, since they install packages.
"""

import importlib.util
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.interop_environments import interpreter

from darkroom_runner.models import pretrained
from darkroom_runner.run.library_logging import configure_library_logging

SCRIPTS = Path(__file__).parent / "readers"
SMALL_MODELS = Path(__file__).parents[1] / "unit" / "runner" / "small_models.py"
Outputs = dict[str, torch.Tensor]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Building an environment downloads packages."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(900))


def import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def small_model() -> ModuleType:
    """The functions that also run in the other environments."""
    return import_file(SCRIPTS / "small_model.py")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SDXL whose text encoders have the names of transformers 4, as all published models do."""
    configure_library_logging()
    folder = tmp_path_factory.mktemp("models") / "small-sdxl"
    import_file(SMALL_MODELS).build_sdxl(folder, "epsilon")
    for path in folder.glob("text_encoder*/model.safetensors"):
        state = {
            name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}": tensor
            for name, tensor in load_file(path).items()
        }
        save_file(state, path, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def load(model: Path) -> Callable[[], Any]:
    """Load the small SDXL as a task does."""

    def start() -> Any:
        found = pretrained.find_pretrained(model.name, pretrained.SDXL, model.parent)
        return pretrained.load_pipeline(found, torch.float32, torch.device("cpu"))

    return start


@pytest.fixture(scope="session")
def run_script(model: Path) -> Callable[..., dict[str, Outputs]]:
    """Run a script of `readers` in an environment with a folder of files; the outputs of each, by file stem."""

    def run(environment: str, script: str, folder: Path) -> dict[str, Outputs]:
        variables = {"PATH": os.defpath, "HOME": str(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [interpreter(environment), SCRIPTS / script, model, folder], env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return {path.stem: load_file(path) for path in folder.glob("*.outputs")}

    return run
