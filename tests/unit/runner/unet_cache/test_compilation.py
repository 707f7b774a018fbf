"""torch.compile of the three parts of a pass: whole graphs of constant shapes, with bit-equal images, compiled once.

These backends need no C++ compiler: they run the captured graphs without translating them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from support.runner_processes import SDXL_NAME, SVD_NAME
from torch._dynamo.testing import CompileCounterWithBackend

from darkroom_contract.specs.cache import Cache
from darkroom_runner.models import pretrained
from darkroom_runner.models.device import generator
from darkroom_runner.unet_cache.context import unet_cache
from darkroom_runner.unet_cache.network import Network

STEPS = 8


@pytest.fixture(scope="module")
def thin_models(tmp_path_factory: pytest.TempPathFactory, small_models: ModuleType) -> Path:
    """SDXL and SVD with one layer in each block: capturing a layer takes seconds, and all kinds of block are there."""
    root = tmp_path_factory.mktemp("thin")
    small_models.build_sdxl(root / SDXL_NAME, layers_per_block=1)
    small_models.build_svd(root / SVD_NAME, layers_per_block=1)
    return root


def load(root: Path, name: str, kind: str) -> Any:
    model = pretrained.find_pretrained(name, kind, root)
    return pretrained.load_pipeline(model, torch.float32, torch.device("cpu"))


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, CompileCounterWithBackend]]:
    """Compile the parts of all passes from now on with a backend; returns counters of their graphs."""

    def compile_parts(backend: str) -> dict[str, CompileCounterWithBackend]:
        counters = {part: CompileCounterWithBackend(backend) for part in ("outer", "deep", "finish")}
        for part, counter in counters.items():
            whole = torch.compile(getattr(Network, part), fullgraph=True, dynamic=False, backend=counter)
            monkeypatch.setattr(Network, part, whole)
        return counters

    return compile_parts


def latents(pipeline: Any, **inputs: Any) -> torch.Tensor:
    """Of one image or clip."""
    with unet_cache(pipeline, Cache(), STEPS):
        found = pipeline(
            **inputs, num_inference_steps=STEPS, generator=generator(1), output_type="latent", return_dict=False
        )[0]
    assert isinstance(found, torch.Tensor)
    return found


def graphs(counters: dict[str, CompileCounterWithBackend]) -> dict[str, int]:
    return {part: counter.frame_count for part, counter in counters.items()}


def test_the_parts_of_an_image_are_whole_graphs(thin_models: Path, compiled: Any) -> None:
    """`deep` has two: in the first pass of an image it also computes the prompt's keys and values.

    `aot_eager` traces the graphs that `eager` runs as they are: it needs all that `eager` needs.
    """
    sdxl = load(thin_models, SDXL_NAME, pretrained.SDXL)
    expected = latents(sdxl, prompt="a dog")
    counters = compiled("aot_eager")

    assert torch.equal(latents(sdxl, prompt="a dog"), expected)
    latents(sdxl, prompt="a cat")
    assert graphs(counters) == {"outer": 1, "deep": 2, "finish": 1}


def test_the_parts_of_a_clip_are_whole_graphs(thin_models: Path, compiled: Any) -> None:
    svd = load(thin_models, SVD_NAME, pretrained.SVD)
    start = {"image": Image.new("RGB", (64, 64), "red"), "height": 64, "width": 64, "num_frames": 4}
    expected = latents(svd, **start)
    counters = compiled("eager")

    assert torch.equal(latents(svd, **start), expected)
    latents(svd, **start)
    assert graphs(counters) == {"outer": 1, "deep": 1, "finish": 1}
