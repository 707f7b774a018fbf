"""Python environments of other programs and releases, built from pinned packages under build/interop.

Each has its own packages first on its path, and then those of this environment: PyTorch, numpy and others are shared,
so that results can be compared bit by bit, and nothing is installed twice. Packages are installed without their
dependencies: a release of diffusers never replaces PyTorch. Optional packages of this environment are hidden.
"""

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

CACHE = Path(__file__).parents[2] / "build" / "interop"

PINS = {
    "diffusers-0.31": (
        "diffusers==0.31.0",
        "transformers==4.46.3",
        "tokenizers==0.20.3",
        "huggingface-hub==0.26.5",
        "peft==0.13.2",
    ),
    "diffusers-0.36": (
        "diffusers==0.36.0",
        "transformers==4.57.6",
        "tokenizers==0.22.2",
        "huggingface-hub==0.36.2",
        "peft==0.18.1",
    ),
    "diffusers-0.42": ("diffusers==0.42.1", "transformers==5.23.0", "peft==0.21.2"),
    "peft-0.21": ("peft==0.21.2",),
    "sd-parsers-0.6": ("sd-parsers==0.6",),
    "sd-prompt-reader-1.3": ("sd-prompt-reader==1.3.5", "piexif==1.1.3"),
    "lycoris-4.1": ("lycoris-lora==4.1.3", "einops==0.8.2", "toml==0.10.2"),
}

HIDDEN = ("bitsandbytes", "torchao")
"""diffusers imports them when they are there: 0.36 fails at a torchao newer than itself."""


def interpreter(name: str) -> Path:
    """The Python of an environment, built on first use and after a change of its pins. Raises `CalledProcessError`."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    stamp = folder / "pins"
    if not stamp.exists() or stamp.read_text() != _stamp(name):
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=False, symlinks=True)
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "shared.pth").write_text(_path_file())
        install = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-compile",
            "--disable-pip-version-check",
        ]
        subprocess.run([*install, "--target", str(packages), *PINS[name]], check=True)
        stamp.write_text(_stamp(name))
    return python


def _shared_folders() -> list[str]:
    return [folder for folder in sys.path if Path(folder).name == "site-packages"]


def _path_file() -> str:
    """Read at the start of Python: folders to search, and a line to run. A module that is None is not found."""
    return "\n".join([*_shared_folders(), f"import sys; sys.modules.update(dict.fromkeys({HIDDEN!r}))", ""])


def _stamp(name: str) -> str:
    return hashlib.sha256(repr((PINS[name], _path_file(), sys.version)).encode()).hexdigest()
