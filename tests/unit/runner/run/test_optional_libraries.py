"""Libraries for CUDA are not imported at the start of a run on the CPU, and can be used all the same."""

import subprocess
import sys

import pytest
import torch

START = "from darkroom_runner.run.library_logging import configure_library_logging as start\n"


def output(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA they are imported")
def test_a_run_on_the_cpu_imports_bitsandbytes_only_for_its_optimizer() -> None:
    code = START + (
        "start()\n"
        "import sys, peft\n"
        "from diffusers import StableDiffusionXLPipeline\n"
        "print(sys.modules['bitsandbytes'], end=' ')\n"
        "from darkroom_runner.run.optional_libraries import reveal\n"
        "reveal('bitsandbytes')\n"
        "from bitsandbytes.optim import AdamW8bit\n"
        "print(AdamW8bit.__name__)\n"
    )

    assert output(code) == "None AdamW8bit"


def test_libraries_that_diffusers_has_found_stay_available() -> None:
    code = START + "import diffusers\nstart()\nfrom diffusers import AutoencoderKL\nprint(AutoencoderKL.__name__)\n"

    assert output(code) == "AutoencoderKL"
