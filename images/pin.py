"""`make pin-images`: writes the current digest of the base image's tag into both Dockerfiles. `--check` only compares.

It asks the registry with skopeo, crane or docker. The digest is that of the multi-platform index.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FILES = tuple(REPOSITORY / f"Dockerfile.{name}" for name in ("gateway", "runner"))
BASE = re.compile(r"^ARG BASE=(?P<tag>[^\s@]+)@(?P<digest>sha256:[0-9a-f]{64})$", re.MULTILINE)
COMMANDS = {
    "skopeo": ["skopeo", "inspect", "--raw", "docker://{tag}"],
    "crane": ["crane", "manifest", "{tag}"],
    "docker": ["docker", "buildx", "imagetools", "inspect", "--raw", "{tag}"],
}
"""Each prints the manifest, whose SHA-256 is the digest."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 when the tag has moved on")
    options = parser.parse_args()
    moved = [path.name for path in FILES if pin(path, current_digest, write=not options.check)]
    print(f"moved: {', '.join(moved)}" if moved else "the digests are those of the tag")
    sys.exit(bool(moved and options.check))


def pin(path: Path, digest_of: Callable[[str], str], *, write: bool) -> bool:
    """Whether the tag of a Dockerfile's base has a new digest. `write` updates the file."""
    text = path.read_text(encoding="utf-8")
    found = BASE.search(text)
    if found is None:
        sys.exit(f"{path.name} has no line `ARG BASE=name:tag@sha256:...`: write one, with any digest.")
    digest = digest_of(found["tag"])
    if write:
        path.write_text(text.replace(found["digest"], digest), encoding="utf-8")
    return digest != found["digest"]


def current_digest(tag: str) -> str:
    """Raises `SystemExit` if none of the programs is installed, or the registry doesn't answer."""
    program = next((name for name in COMMANDS if shutil.which(name)), None)
    if program is None:
        sys.exit(f"pin-images: install one of {', '.join(COMMANDS)}")
    command = [word.format(tag=tag) for word in COMMANDS[program]]
    done = subprocess.run(command, capture_output=True)  # noqa: S603
    if done.returncode != 0:
        sys.exit(f"pin-images: {program} got no answer: {done.stderr.decode(errors='replace').strip()}")
    return manifest_digest(done.stdout)


def manifest_digest(manifest: bytes) -> str:
    """The digest of a manifest is the hash of its exact bytes (OCI image specification, "Digests")."""
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


if __name__ == "__main__":
    main()
