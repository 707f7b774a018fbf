"""The differences between docker, podman and buildah. Used by build.py.

podman and buildah take the same arguments to build; docker can't mount folders of the host into a build, and has no
`--timestamp`.
"""

import contextlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pip_settings import PipSettings

NAMES = ("docker", "podman", "buildah")
HUB = "docker.io/library/"
"""The prefix that containerd and the kubelet assume for a name without a registry; docker does not show it. podman and
buildah would use `localhost/`, which no node finds."""
SBOM = "/usr/share/darkroom/sbom.cdx.json"
FILE_TIME = "315532800"
"""1980-01-01, the date of every image and file: otherwise each build would change each layer."""


class BuilderError(Exception):
    """Why the build is not possible here, and what to do."""


@dataclass(frozen=True)
class Builder:
    """One of the three that works on this machine."""

    name: str

    def build_command(self, file: str, image: str) -> list[str]:
        common = ["--file", file, "--tag", image]
        if self.name == "docker":
            return ["docker", "build", *common, "--build-arg", f"SOURCE_DATE_EPOCH={FILE_TIME}"]
        verb = "build" if self.name == "podman" else "bud"
        # By default buildah makes a single layer.
        return [self.name, verb, *common, "--layers", "--timestamp", FILE_TIME]

    def pip_arguments(self, pip: PipSettings) -> list[str]:
        """Raises `BuilderError` if pip's packages are in folders that this builder can't mount into a build."""
        if pip.folders and self.name == "docker":
            folders = ", ".join(map(str, pip.folders))
            raise BuilderError(f"pip finds packages in {folders}, which docker can't reach; podman and buildah can.")
        secrets = [f"--secret=id={name},src={path}" for name, path in pip.secrets.items()]
        return secrets + [f"--volume={folder}:{seen}:ro" for folder, seen in pip.folders.items()]

    def save_command(self, image: str, archive: Path) -> list[str]:
        """Write an existing image into a file for `ctr images import`, under its own name."""
        if self.name == "buildah":
            return ["buildah", "push", "--quiet", image, f"docker-archive:{archive}:{image}"]
        format_ = ["--format", "docker-archive"] if self.name == "podman" else []
        return [self.name, "save", *format_, "--output", str(archive), image]

    def save(self, image: str, archive: Path) -> None:
        """Raises `BuilderError` when the file does not name the image as containerd looks for it."""
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.unlink(missing_ok=True)  # podman and buildah refuse an existing file.
        _output(*self.save_command(image, archive))
        found = names_in(archive)
        if image not in found:
            raise BuilderError(f"{archive} names {', '.join(found) or 'nothing'}, and not {image}.")

    def copy_sbom(self, image: str, target: Path) -> None:
        """From an existing image."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._container(image) as container:
            if self.name == "buildah":
                shutil.copyfile(_output("buildah", "mount", container) + SBOM, target)
            else:
                _output(self.name, "cp", f"{container}:{SBOM}", str(target))

    @contextlib.contextmanager
    def _container(self, image: str) -> Iterator[str]:
        """A container that is never started."""
        create = ["buildah", "from", "--pull-never"] if self.name == "buildah" else [self.name, "create"]
        container = _output(*create, image)
        try:
            yield container
        finally:
            _output(self.name, "rm", container)


def qualified(name: str) -> str:
    """The name with its registry, as docker and containerd parse it: a first part like a host name is the registry."""
    first, slash, _ = name.partition("/")
    if not slash:
        return HUB + name
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def names_in(archive: Path) -> list[str]:
    """The names that `ctr images import` would create from an archive in docker's format."""
    with tarfile.open(archive) as file:
        listed = file.extractfile("manifest.json")
        if listed is None:
            raise BuilderError(f"{archive} has no manifest.json: it is no archive of docker's format.")
        return sorted({qualified(tag) for image in json.load(listed) for tag in image["RepoTags"] or []})


def find_builder(name: str | None) -> Builder:
    """The builder of that name, or the first that works. Raises `BuilderError`."""
    if name and name not in NAMES:
        raise BuilderError(f"{name} is none of {', '.join(NAMES)}.")
    for each in [name] if name else NAMES:
        if _works(each):
            return Builder(each)
    wanted = name or f"none of {', '.join(NAMES)}"
    raise BuilderError(
        f"{wanted} {'does not work' if name else 'works'} on this machine. podman needs no daemon and comes with every "
        "distribution (apt install podman); docker's daemon must run, and let you in (docker info)."
    )


def _works(name: str) -> bool:
    """docker needs its daemon."""
    return shutil.which(name) is not None and subprocess.run([name, "info"], capture_output=True).returncode == 0  # noqa: S603


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise BuilderError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()
