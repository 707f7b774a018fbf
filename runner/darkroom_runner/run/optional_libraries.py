"""Libraries that only CUDA has a use for, kept from being imported on the CPU.

diffusers and peft import bitsandbytes and torchao wherever they are installed, and bitsandbytes imports torch's
compiler: 1.2 s of CPU time at the start of every run (benchmarked with bitsandbytes 0.50.2).
"""

import sys
from typing import Any

_CUDA_LIBRARIES = ("bitsandbytes", "torchao")


def hide_cuda_libraries() -> None:
    """Without CUDA, let the libraries seem not to be installed. Call it before diffusers or peft is imported."""
    import torch

    if torch.cuda.is_available():
        return
    modules: dict[str, Any] = sys.modules
    for name in _CUDA_LIBRARIES:
        modules.setdefault(name, None)


def reveal(name: str) -> None:
    """Let a hidden library be imported after all. diffusers and peft don't notice."""
    modules: dict[str, Any] = sys.modules
    if name in modules and modules[name] is None:
        del modules[name]
