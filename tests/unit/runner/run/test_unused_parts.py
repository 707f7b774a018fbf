"""torch's compiler and distributed package, and on the CPU the libraries for CUDA, are not imported with the libraries,
and can be used all the same."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.forking_interpreter import forking_interpreter
from support.runner_photos import draw_photo
from support.runner_processes import SDXL_NAME

IMPORT = """
import sys
sys.modules["torchvision"] = None
from darkroom_runner.run.unused_parts import unused_parts_hidden
from darkroom_runner.run.library_logging import configure_library_logging
with unused_parts_hidden():
    configure_library_logging()
    import diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl
    import diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion
"""
"""With torchvision, which may be installed here, nothing would be hidden."""
SMALL_TRAINING = {
    "modelId": "my-dog",
    "prompt": "a photo of sks dog",
    "dataset": {"uri": "s3://bucket/photos/"},
    "maxSteps": 1,
    "training": {
        "rank": 4,
        "trainTextEncoders": True,
        "priorPreservation": {"classPrompt": "a photo of a dog", "classImages": 1},
    },
}


@pytest.fixture(scope="module")
def output() -> Iterator[Callable[[str], str]]:
    """What code prints in a process that has just imported the pipelines."""
    with forking_interpreter(IMPORT) as interpreter:
        yield interpreter.output


def test_pipelines_are_imported_without_them(output: Callable[[str], str]) -> None:
    names = ("torch._dynamo", "torch.distributed.tensor", "torch.distributed.fsdp", "sympy")

    assert output(f"print([name for name in {names!r} if name in sys.modules])") == "[]"


def test_training_imports_neither_the_compiler_nor_symbolic_shapes(
    output: Callable[[str], str], model_root: Path, tmp_path: Path
) -> None:
    """Nor does what comes before it: loading the base model, class images, and encoding."""
    draw_photo(1).save(tmp_path / "1.png")
    names = ("torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes", "sympy")
    code = f"""
from pathlib import Path
from darkroom_contract.plan import plan_training
from darkroom_contract.specs.train_job import TrainJobSpec

spec = TrainJobSpec.from_dict({SMALL_TRAINING!r})
with unused_parts_hidden():
    from darkroom_runner.models.pretrained import SDXL, find_pretrained
    from darkroom_runner.run.progress import ProgressTracker
    from darkroom_runner.run.progress_events import NullSender
    from darkroom_runner.run.stop_signal import StopSignal
    from darkroom_runner.training.dataset import check_photo
    from darkroom_runner.training.session import open_session

    model = find_pretrained({SDXL_NAME!r}, SDXL, Path({str(model_root)!r}))
    photo = check_photo(Path({str(tmp_path / "1.png")!r}), "1.png")
    session = open_session(model, spec, ProgressTracker(1, plan_training(spec), NullSender()), StopSignal())
    session.train([photo])
print([name for name in {names!r} if type(sys.modules.get(name)).__name__ == "module"])
"""

    assert output(code) == "[]"


def test_nothing_is_hidden_where_cuda_is_available(output: Callable[[str], str]) -> None:
    """torchao and bitsandbytes use modules of the compiler there."""
    code = """
import torch, types
torch.cuda.is_available = lambda: True
before = sys.modules.get("torch._dynamo")
with unused_parts_hidden():
    print(sys.modules.get("torch._dynamo") is before, torch.distributed.is_available())
"""

    assert output(code) == "True True"


def test_nothing_is_hidden_where_torchvision_is_installed(output: Callable[[str], str], tmp_path: Path) -> None:
    """It uses a module of the compiler, and transformers imports it where it is."""
    (tmp_path / "torchvision.py").write_text("from torch._dynamo.utils import is_compile_supported\n", encoding="utf-8")
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
del sys.modules["torchvision"]
with unused_parts_hidden():
    import torchvision
    print(torchvision.is_compile_supported("cpu"))
"""

    assert output(code) == "True"


def test_both_work_afterwards(output: Callable[[str], str]) -> None:
    code = """
import torch, torch.distributed.tensor
assert torch.distributed.is_available()
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2)).tolist())
print(torch._dynamo.disable(len) is len, torch._dynamo.__name__)
"""

    assert output(code) == "[2.0, 2.0]\nFalse torch._dynamo"


def test_library_that_needs_the_compiler_at_import_gets_the_real_one(output: Callable[[str], str]) -> None:
    code = """
with unused_parts_hidden():
    import torch._dynamo
    assert torch._dynamo.disable(len) is len
    torch._dynamo.reset()
    import torch._dynamo
    print(torch._dynamo.disable(len) is len)
print(sys.modules["torch._dynamo"].reset.__module__)
"""

    assert output(code) == "False\ntorch._dynamo"


@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA it is imported")
def test_a_run_on_the_cpu_imports_bitsandbytes_only_for_its_optimizer(output: Callable[[str], str]) -> None:
    code = """
import peft
print(sys.modules["bitsandbytes"])
from darkroom_runner.run.optional_libraries import reveal
reveal("bitsandbytes")
from bitsandbytes.optim import AdamW8bit
print(AdamW8bit.__name__)
"""

    assert output(code) == "None\nAdamW8bit"


def test_libraries_that_diffusers_has_found_stay_available() -> None:
    code = """
from darkroom_runner.run.library_logging import configure_library_logging
import diffusers
configure_library_logging()
from diffusers import AutoencoderKL
print(AutoencoderKL.__name__)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "AutoencoderKL\n"


def test_only_bitsandbytes_imports_the_compiler_for_a_training(output: Callable[[str], str]) -> None:
    """Without the block, the first step of any optimizer does."""
    code = """
import torch
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.tasks.train import unused_parts_of_training_hidden
from darkroom_runner.training.optimizers import build_optimizers

def has_compiler(optimizer):
    job = {"modelId": "m", "prompt": "p", "dataset": {"uri": "s3://bucket/photos/"}}
    spec = TrainJobSpec.from_dict({**job, "training": {"optimizer": optimizer}})
    parameter = torch.nn.Parameter(torch.ones(64, 64))
    with unused_parts_of_training_hidden(spec):
        [built] = build_optimizers({"unet.a": parameter}, spec.training)
        parameter.grad = torch.ones_like(parameter)
        built.step()
    assert not (parameter == 1).any()
    return "torch._dynamo" in sys.modules

print({name: has_compiler(name) for name in ("AdamW", "Adafactor", "Prodigy", "AdamW8bit")})
"""

    assert output(code) == str({"AdamW": False, "Adafactor": False, "Prodigy": False, "AdamW8bit": True})
