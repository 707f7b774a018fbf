"""Downward API volumes: files with a pod's own fields, replaced while the pod runs. Used by the pod workers.

`projected_files` is pure; `write_atomically` replaces all files of a volume at once, as a kubelet does:

    ..2026_11_29_10_00_00.123456789/run    the files
    ..data -> ..2026_11_29_10_00_00.123456789
    run -> ..data/run

A new version is a new directory, and a rename of the symlink `..data` publishes it. A reader finds the old or the new
content of a file, never a part of one. At the moment of the rename an open may fail with ENOENT: the reader has to try
again.
Sources, of Kubernetes 1.36: pkg/volume/downwardapi/downwardapi.go, pkg/volume/util/atomic_writer.go.
"""

import os
import posixpath
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from darkroom_local.kube.client import Json
from darkroom_local.node.errors import CannotStartError
from darkroom_local.node.pod_dirs import PodDir
from darkroom_local.node.pod_fields import field_text, resource_text

DEFAULT_MODE = 0o644
DATA = "..data"
NEW_DATA = "..data_tmp"


@dataclass(frozen=True)
class ProjectedFile:
    """One file of a volume."""

    content: bytes
    mode: int = DEFAULT_MODE


Files = Mapping[str, ProjectedFile]
"""By path within the volume."""


def write_volumes(pod: Json, pod_dir: PodDir, allocatable: Mapping[str, str]) -> None:
    """Write the downward API volumes of a pod where they differ from its current fields.

    Raises `OSError`, and `CannotStartError` for a field that can't be projected.
    """
    for volume in pod["spec"].get("volumes") or []:
        if "downwardAPI" in volume:
            files = projected_files(pod, volume, allocatable)
            pod_dir.create([volume["name"]])
            write_atomically(pod_dir.volume(volume["name"]), files)


def projected_files(pod: Json, volume: Json, allocatable: Mapping[str, str]) -> dict[str, ProjectedFile]:
    """Raises `CannotStartError`."""
    items = volume["downwardAPI"].get("items") or []
    default_mode = volume["downwardAPI"].get("defaultMode", DEFAULT_MODE)
    try:
        return {_checked_path(each["path"]): _file(pod, each, default_mode, allocatable) for each in items}
    except ValueError as error:
        message = f'MountVolume.SetUp failed for volume "{volume["name"]}": {error}'
        raise CannotStartError("ContainerCreating", message) from error


def _file(pod: Json, item: Json, default_mode: int, allocatable: Mapping[str, str]) -> ProjectedFile:
    mode = default_mode if item.get("mode") is None else item["mode"]
    if not 0 <= mode <= 0o777:
        raise ValueError(f"mode {mode} of {item['path']} must be a number between 0 and 0777 (octal), both inclusive")
    return ProjectedFile(_text(pod, item, allocatable).encode(), mode)


def _text(pod: Json, item: Json, allocatable: Mapping[str, str]) -> str:
    if "fieldRef" in item:
        return field_text(pod, item["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in item:
        return resource_text(pod, item["resourceFieldRef"], "", allocatable)
    raise ValueError("one of fieldRef and resourceFieldRef is required")


def _checked_path(path: str) -> str:
    """The normalized path. Raises `ValueError` when it could lead out of the volume, or hide its bookkeeping."""
    normal = posixpath.normpath(path)
    if path.startswith("/") or ".." in path.split("/") or normal.startswith("..") or normal == "." or "\0" in path:
        raise ValueError(f"{path!r} must be a relative path without '..'")
    return normal


def write_atomically(volume: Path, files: Files) -> None:
    """Replace the content of a volume if it differs. Raises `OSError`, with the old content intact."""
    current = volume / DATA
    if not _is_written(current, files):
        before = current.resolve() if current.is_symlink() else None
        version = volume / f"..{datetime.now(UTC):%Y_%m_%d_%H_%M_%S}.{secrets.randbelow(10**9):09d}"
        try:
            _write_version(version, files)
            _replace_symlink(current, volume / NEW_DATA, version.name)
        except OSError:
            shutil.rmtree(version, ignore_errors=True)
            raise
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)
    _link_files(volume, {path.split("/")[0] for path in files})


def _is_written(current: Path, files: Files) -> bool:
    try:
        folder = current.resolve(strict=True)
        found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    except OSError:  # There is no content yet, or its mode denies reading.
        return False
    return found == {path: file.content for path, file in files.items()}


def _write_version(version: Path, files: Files) -> None:
    version.mkdir(mode=0o755, parents=True)
    for path, file in files.items():
        target = version / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)  # Not at creation: the umask would limit it.


def _replace_symlink(link: Path, temporary: Path, target: str) -> None:
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)


def _link_files(volume: Path, names: set[str]) -> None:
    """The user-visible names: symlinks through `..data`, so that they need no change with a new version."""
    for name in names:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"{DATA}/{name}")
    for path in volume.iterdir():
        if path.is_symlink() and path.name not in names and not path.name.startswith(".."):
            path.unlink()
