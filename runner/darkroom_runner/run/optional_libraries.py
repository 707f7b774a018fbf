"""Installed libraries that a run has no use for, kept from being imported.

- diffusers and peft import bitsandbytes and torchao wherever they are installed, although only CUDA has a use for them,
  and bitsandbytes imports torch's compiler: 1.2 s of CPU time at the start of every run (benchmarked with bitsandbytes
  0.50.2).
- redis-py imports OpenTelemetry's SDK wherever it is installed: 0.07 s (redis 8.1, opentelemetry-sdk 1.45).
"""

import sys
from typing import Any

_CUDA_LIBRARIES = ("bitsandbytes", "torchao")
_IMPORTERS = ("accelerate", "diffusers", "peft", "transformers")
"""What notes at its own import which libraries are installed, and later expects to find them."""


def hide_cuda_libraries() -> None:
    """Without CUDA, let the libraries seem not to be installed. Does nothing once diffusers or peft is imported."""
    import torch

    modules: dict[str, Any] = sys.modules
    if torch.cuda.is_available() or any(name in modules for name in _IMPORTERS):
        return
    for name in _CUDA_LIBRARIES:
        modules.setdefault(name, None)


def hide_opentelemetry() -> None:
    """Let OpenTelemetry's SDK seem not to be installed. For runs that are not traced."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("opentelemetry.sdk", None)


def reveal(name: str) -> None:
    """Let a hidden library be imported after all. diffusers and peft don't notice."""
    modules: dict[str, Any] = sys.modules
    if name in modules and modules[name] is None:
        del modules[name]
