"""Start-up cost: heavy libraries are imported only after the input is validated, and needless ones never."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.tasks.generate import IMAGE_LIBRARIES

HEAVY = ("torch", "diffusers", "transformers", "peft", "av", "redis")
NEEDLESS = (
    *("torch._dynamo", "torch._inductor", "torch.distributed.fsdp", "torch.distributed.tensor", "torch.onnx"),
    *("torch.fx.experimental.symbolic_shapes", "sympy", "mpmath", "networkx"),
    *("bitsandbytes", "torchao", "triton", "prodigyopt", "scipy", "sklearn", "pandas", "matplotlib", "torchvision"),
    *("tensorflow", "tensorboard", "wandb", "onnx", "onnxruntime", "sentencepiece", "kernels", "av", "c2pa"),
    *("diffusers.pipelines.flux", "diffusers.pipelines.stable_diffusion", "darkroom_runner.tasks.train"),
    "diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_inpaint",
)
"""What a generation of one image has no use for, and its libraries import where it is installed or asked for."""
WORKER = f"""#!{sys.executable}
import sys
sys.modules["torchvision"] = None
from darkroom_runner import worker
try:
    worker.main()
finally:
    print("needless:", [name for name in {NEEDLESS!r} if sys.modules.get(name) is not None], flush=True)
"""
"""With torchvision, which may be installed here, nothing would be hidden."""
PARTS = ["interpreter", "imports", "input", "weights", "device", "first step"]


def output(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_life_cycle_does_not_import_torch() -> None:
    code = f"import sys, darkroom_runner.lifecycle; print([name for name in {HEAVY!r} if name in sys.modules])"

    assert output(code) == "[]"


def test_parent_process_starts_the_worker_before_it_imports_other_packages() -> None:
    code = "import sys, darkroom_runner.main; print({name.partition('.')[0] for name in sys.modules})"

    packages = ast.literal_eval(output(code))

    others = packages - ast.literal_eval(output("import sys; print({name.partition('.')[0] for name in sys.modules})"))
    assert others - sys.stdlib_module_names == {"darkroom_contract", "darkroom_runner"}


@pytest.fixture
def worker(tmp_path: Path) -> str:
    """A program that runs the worker in a new interpreter and prints which of `NEEDLESS` it has imported."""
    program = tmp_path / "worker"
    program.write_text(WORKER)
    program.chmod(0o755)
    return str(program)


def test_generation_imports_no_needless_modules_and_logs_the_parts_of_its_start(
    start_run: Callable[..., Any], worker: str
) -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"steps": 2, "seed": 7}})

    run = start_run(spec, program=worker).finish(280)

    assert run.outcome.succeeded, run.log
    assert "needless: []" in run.log
    [line] = re.findall(r"first step after [\d.]+ s: (.*)", run.log)
    found = {name: float(seconds) for name, seconds in re.findall(r"([a-z ]+?) ([\d.]+) s", line.replace(", ", ","))}
    assert list(found) == PARTS
    assert all(found[part] > 0 for part in ("imports", "input", "weights", "first step"))


def test_libraries_of_images_have_all_that_loading_them_imports() -> None:
    """Otherwise the rest would be imported after the input was fetched, and with what is hidden from the libraries."""
    code = f"""
import sys
from darkroom_runner.run.library_imports import imports_in_background
from darkroom_runner.run.library_logging import configure_library_logging
with imports_in_background(configure_library_logging, {IMAGE_LIBRARIES!r}) as libraries:
    libraries.wait()
known = set(sys.modules)
from darkroom_runner.tasks.text_to_image import load_text_to_image
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
print(sorted(set(sys.modules) - known))
"""

    assert output(code) == "[]"
