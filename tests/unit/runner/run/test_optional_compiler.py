"""torch's compiler is not imported at the start of a run, and works when something uses it."""

import subprocess
import sys

import pytest

START = (
    "from darkroom_runner.run.library_logging import configure_library_logging as start\nstart()\nimport sys, torch\n"
)


def output(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", START + code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_training_and_its_optimizer_do_not_import_the_compiler() -> None:
    code = (
        "import darkroom_runner.training.session\n"
        "from diffusers import StableDiffusionXLPipeline\n"
        "parameter = torch.nn.Parameter(torch.ones(3))\n"
        "optimizer = torch.optim.AdamW([parameter], fused=True)\n"
        "parameter.square().sum().backward()\n"
        "optimizer.step()\n"
        "optimizer.zero_grad()\n"
        "print('torch._dynamo.convert_frame' in sys.modules, parameter.grad)\n"
    )

    assert output(code) == "False None"


@pytest.mark.parametrize(
    "use",
    [
        "print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item())",
        "import torch._dynamo.utils as utils\nassert torch._dynamo.utils is utils\nprint(2.0)",
        "from torch._dynamo import config\nassert config is sys.modules['torch._dynamo.config']\nprint(2.0)",
    ],
)
def test_the_compiler_works_after_its_import_was_deferred(use: str) -> None:
    assert output(f"import diffusers, transformers, peft\n{use}") == "2.0"
