"""`make images`: builds the images with the first of docker, podman and buildah that works. Needs only Python and pip.

It passes what a Dockerfile can't know: version, revision, and how pip reaches its index on this machine. The last may
contain passwords, so it is passed as a secret (pip_settings.py), never as a build argument.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from builders import HUB, NAMES, Builder, BuilderError, find_builder
from pip_settings import read_pip_settings

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES = ("gateway", "runner")
TORCH_INDEX_URL = "https://download.pytorch.org/whl"


def main() -> None:
    ours, theirs = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(
        prog="build.py", usage="%(prog)s [options] [image ...] [-- arguments of the builder]"
    )
    parser.add_argument("images", nargs="*", metavar="image", help=f"{' or '.join(IMAGES)}; both by default")
    parser.add_argument("--builder", help=f"{', '.join(NAMES)}; default: the first that works")
    parser.add_argument("--tag", help="default: the version")
    parser.add_argument("--prefix", help=f"prefix of the names, such as registry.example/darkroom/; default: {HUB}")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="build nothing: write the images into this folder")
    parser.add_argument("--sbom", type=Path, metavar="FOLDER", help="build nothing: copy the SBOMs into this folder")
    options = parser.parse_args(ours)
    if unknown := sorted(set(options.images) - set(IMAGES)):
        parser.error(f"there is no image {', '.join(unknown)}; there are {' and '.join(IMAGES)}")
    try:
        builder = find_builder(options.builder or None)
        for image in options.images or IMAGES:
            tag = options.tag or _version()
            name = f"{(options.prefix or HUB).rstrip('/')}/darkroom-{image}:{tag}"
            if options.save:
                archive = options.save / f"darkroom-{image}-{tag}.tar"
                builder.save(name, archive)
                print(f"{archive} holds {name}", flush=True)
            elif options.sbom:
                builder.copy_sbom(name, options.sbom / f"darkroom-{image}.cdx.json")
            else:
                print(f"{name}, with {builder.name}", flush=True)
                _build(builder, image, name, theirs)
    except BuilderError as error:
        sys.exit(f"make images: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"make images: {error.cmd[0]} exited with {error.returncode}; its output is above.")


def _build(builder: Builder, image: str, name: str, more: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = read_pip_settings(Path(folder))
        arguments = _labels(os.environ)
        if image == "runner":
            arguments |= {"TOOLS": _tools(), **torch_arguments(os.environ)}
        command = [
            *builder.build_command(f"Dockerfile.{image}", name),
            *builder.pip_arguments(pip),
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            *more,
            ".",
        ]
        subprocess.run(command, cwd=REPOSITORY, check=True, env=os.environ | {"DOCKER_BUILDKIT": "1"})  # noqa: S603


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Arguments after `--` are for the builder."""
    if "--" not in words:
        return words, []
    return words[: words.index("--")], words[words.index("--") + 1 :]


def _version() -> str:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _labels(environment: Mapping[str, str]) -> dict[str, str]:
    """The version; of a git checkout also its revision, the date of that, and the public address."""
    revision, dirty = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    found = {
        "VERSION": _version(),
        "REVISION": f"{revision}-dirty" if revision and dirty else revision,
        "CREATED": _git("show", "--no-patch", "--format=%cI", "HEAD"),
        "SOURCE": environment.get("SOURCE_URL") or public_address(_git("remote", "get-url", "origin")),
    }
    return {name: value for name, value in found.items() if value}


def public_address(remote: str) -> str:
    """Without any password; empty for an address that only this machine can reach."""
    parts = urlsplit(remote)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return ""
    host = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    return parts._replace(netloc=host, query="", fragment="").geturl()


def torch_arguments(environment: Mapping[str, str]) -> dict[str, str]:
    """The lock of the build TORCH_BUILD, or TORCH_LOCK; and PyTorch's index of that build, unless TORCH_INDEX_URL is
    set (empty: pip's own indexes).

    Raises `BuilderError` for a build without a lock: its hashes are unknown.
    """
    build, lock = environment.get("TORCH_BUILD", ""), environment.get("TORCH_LOCK", "")
    if not build and not lock:
        return {}
    lock = lock or f"images/locks/torch-{build}.txt"
    if not (REPOSITORY / lock).is_file():
        raise BuilderError(
            f"there is no {lock}, so the hashes of PyTorch's build are unknown. Add {build!r} to "
            "BUILDS in images/lock.py and run `make lock`, or set TORCH_LOCK to your own lock."
        )
    index = {"TORCH_INDEX_URL": environment.get("TORCH_INDEX_URL", f"{TORCH_INDEX_URL}/{build}")} if build else {}
    return {"TORCH_LOCK": lock, **index}


def _tools() -> str:
    """A checksum of the build tools."""
    files = sorted((REPOSITORY / "images").glob("*"))
    return hashlib.sha256(b"".join(each.read_bytes() for each in files if each.is_file())).hexdigest()[:12]


def _git(*words: str) -> str:
    """Empty outside of a git checkout, or without git."""
    try:
        command = ["git", "-C", str(REPOSITORY), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    main()
