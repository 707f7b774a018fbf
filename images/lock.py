"""`make lock`: writes the locks of the images' packages, with the SHA-256 of each file.

Versions are those of constraints.txt; uv (astral-sh/uv) resolves the dependencies and reads the hashes from the index.
A locked version changes only with constraints.txt, pyproject.toml or this file, or with `--upgrade`.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LOCKS = REPOSITORY / "images" / "locks"
TOOLS = REPOSITORY / "images" / "tools.txt"
TOOLS_NEEDED = ("pip", "setuptools", "cyclonedx-bom")
TORCH_INDEX_URL = "https://download.pytorch.org/whl"
PLATFORM = ("--python-platform=x86_64-manylinux_2_28",)
"""PyTorch needs different packages on each. On aarch64 it needs the same as on x86_64."""
BUILDS = ("cpu",)
"""Builds of PyTorch's own index that have a lock."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uv", default="uv", help="the program; on the PATH when unset")
    parser.add_argument("--upgrade", action="store_true", help="take the newest of what constraints.txt leaves open")
    parser.add_argument("--torch-find-links", metavar="FOLDER", help="of PyTorch's own builds, in place of its index")
    options = parser.parse_args()
    uv = _uv(options.uv, options.upgrade)
    LOCKS.mkdir(exist_ok=True)
    _write(TOOLS, "What builds the images and is in none of them.", uv(TOOLS_NEEDED, TOOLS, []))
    gateway = uv(_extras("gateway", "operator", "tracing"), LOCKS / "gateway.txt", [])
    _write(LOCKS / "gateway.txt", "The gateway's image.", gateway)
    torch = uv([_torch()], LOCKS / "torch.txt", [], PLATFORM)
    _write(LOCKS / "torch.txt", "PyTorch for CUDA, and what it needs.", torch)
    asked = [_torch(), *_extras("runner", "c2pa", "tracing")]
    runner = _without(uv(asked, LOCKS / "runner.txt", [LOCKS / "torch.txt"]), names(torch))
    _write(LOCKS / "runner.txt", "The runner's image, on top of PyTorch and what that needs.", runner)
    for build in BUILDS:
        path = LOCKS / f"torch-{build}.txt"
        index = [f"--index={TORCH_INDEX_URL}/{build}", "--index-strategy=unsafe-best-match"]
        place = [f"--find-links={options.torch_find_links}"] if options.torch_find_links else index
        found = uv([f"{_torch()}+{build}"], path, [LOCKS / "torch.txt"], [*PLATFORM, *place])
        _write(path, f"PyTorch's build {build!r}, and what it needs.", found)


def _uv(program: str, upgrade: bool) -> Callable[..., str]:
    def compiled(needed: Iterable[str], path: Path, also: list[Path], options: Iterable[str] = ("--universal",)) -> str:
        """The lock of the requirements, at the versions of constraints.txt and of the existing lock."""
        constraints = [REPOSITORY / "constraints.txt"] if path != TOOLS else []
        kept = [each for each in [*also, *([] if upgrade else [path])] if each.exists()]
        with tempfile.TemporaryDirectory() as folder:
            asked, pinned = Path(folder) / "needed.in", Path(folder) / "pinned.txt"
            asked.write_text("\n".join(needed), encoding="utf-8")
            pins = dict.fromkeys(line for each in kept for line in _pins(each.read_text(encoding="utf-8")))
            pinned.write_text("\n".join(pins), encoding="utf-8")
            command = [program, "pip", "compile", "--quiet", "--python-version=3.11", *options]
            command += ["--generate-hashes", "--no-header", "--no-annotate", str(asked)]
            command += [f"--constraint={each}" for each in (*constraints, pinned)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
            return done.stdout

    return compiled


def _pins(text: str) -> list[str]:
    """Only names and versions, without the local version of a torch build."""
    lines = (line.partition(" ")[0] for line in text.splitlines() if line[:1].isalnum())
    return [line for line in lines if not line.startswith("torch==")]


def names(text: str) -> set[str]:
    return {line.partition("==")[0] for line in text.splitlines() if line[:1].isalnum()}


def _without(text: str, others: set[str]) -> str:
    """The lock without some packages."""
    kept, keep = [], True
    for line in text.splitlines(keepends=True):
        if line[:1].isalnum():
            keep = line.partition("==")[0] not in others
        if keep:
            kept.append(line)
    return "".join(kept)


def _torch() -> str:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("torch=="))


def _extras(*extras: str) -> list[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return list(dict.fromkeys(asked))


def _write(path: Path, what: str, text: str) -> None:
    header = f"# {what} Written by `make lock`; pip takes a file only with one of these hashes.\n"
    path.write_text(header + text, encoding="utf-8")
    print(f"wrote {path.relative_to(REPOSITORY)}: {len(names(text))} packages")


if __name__ == "__main__":
    sys.exit(main())
