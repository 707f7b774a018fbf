"""Translates a pod's manifest into processes of this machine. Pure; called by the pod workers.

Supports the operator's pods. A pod that needs an unsupported feature is rejected with its name; nothing is skipped.
"""

import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from darkroom_local.kube.client import Json
from darkroom_local.node.container_env import EnvSources, container_env
from darkroom_local.node.errors import CannotStartError, config_error
from darkroom_local.node.expansion import expand
from darkroom_local.node.pod_dirs import PodDir, is_name

DEFAULT_MESSAGE_PATH = "/dev/termination-log"


@dataclass(frozen=True)
class ProcessSpec:
    """The process of a container."""

    container: str
    program: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    volumes: tuple[str, ...]


@dataclass(frozen=True)
class StartOrder:
    """The containers of a pod in the order in which a kubelet starts them, by name."""

    init: tuple[str, ...]
    """One after the other, before the main containers; sidecars among them keep running."""
    sidecars: frozenset[str]
    """Init containers with `restartPolicy: Always`; they are stopped after the main containers."""
    main: tuple[str, ...]
    """In parallel."""


def start_order(pod: Json) -> StartOrder:
    """Raises `CannotStartError` for a pod that the local node does not support."""
    spec = pod["spec"]
    if spec.get("restartPolicy") != "Never":
        policy = spec.get("restartPolicy")
        raise config_error(f"the local node runs a pod once: restartPolicy must be Never, not {policy}")
    init, main = spec.get("initContainers") or [], spec.get("containers") or []
    for container in main:
        if container.get("restartPolicy", "Never") != "Never":
            raise config_error(f"container {container['name']}: the local node restarts no main container")
    for container in [*init, *main]:
        if not is_name(container["name"]):
            raise config_error(f"{container['name']!r} is not a valid container name")
    return StartOrder(
        init=tuple(each["name"] for each in init),
        sidecars=frozenset(each["name"] for each in init if each.get("restartPolicy") == "Always"),
        main=tuple(each["name"] for each in main),
    )


def all_containers(pod: Json) -> list[Json]:
    """Init containers first."""
    return [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]


def process_specs(pod: Json, sources: EnvSources, pod_dir: PodDir, bin_dir: Path) -> dict[str, ProcessSpec]:
    """The process of each container, by container name. Raises `CannotStartError`."""
    specs = {}
    for container in all_containers(pod):
        try:
            specs[container["name"]] = _process_spec(pod, container, sources, pod_dir, bin_dir)
        except CannotStartError as error:
            error.container = container["name"]
            raise
    return specs


def _process_spec(pod: Json, container: Json, sources: EnvSources, pod_dir: PodDir, bin_dir: Path) -> ProcessSpec:
    volumes = tuple(_volumes(pod["spec"]))
    paths = _host_paths(container, volumes, pod_dir)
    variables = {name: _on_host(value, paths) for name, value in container_env(pod, container, sources).items()}
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    if not container.get("command"):
        raise config_error("the local node has no images, and so no entry points: the container needs a command")
    program, *arguments = (expand(word, variables) for word in words)
    tmp = str(pod_dir.container(container["name"]).tmp)
    return ProcessSpec(
        container=container["name"],
        program=str(find_program(program, bin_dir, container["image"])),
        arguments=tuple(arguments),
        environment=_default_env(tmp, bin_dir) | variables | {"TMPDIR": tmp},
        volumes=volumes,
    )


def find_program(name: str, bin_dir: Path, image: str) -> Path:
    """The path of a command in `bin_dir`. Raises `CannotStartError`, with the reason of a missing image."""
    path = Path(os.path.normpath(bin_dir / name))
    if not path.is_relative_to(bin_dir) or path == bin_dir:
        raise CannotStartError("ErrImagePull", f"{name} is not in {bin_dir}: the local node runs only programs in it")
    if not os.access(path, os.X_OK) or not path.is_file():
        message = f"there is no program {name} in {bin_dir}, which the local node uses in place of image {image}"
        raise CannotStartError("ErrImagePull", message)
    return path


def _default_env(home: str, bin_dir: Path) -> dict[str, str]:
    return {"PATH": f"{bin_dir}:{os.defpath.lstrip(':')}", "HOME": home, "LANG": "C.UTF-8"}


def _volumes(spec: Json) -> Iterator[str]:
    for volume in spec.get("volumes") or []:
        if "emptyDir" not in volume and "downwardAPI" not in volume:
            why = "the local node supports emptyDir and downwardAPI volumes only"
            raise config_error(f"volume {volume['name']}: {why}")
        yield volume["name"]


def _host_paths(container: Json, volumes: tuple[str, ...], pod_dir: PodDir) -> dict[str, Path]:
    """Mount paths within the container and their directories on this machine, the longest first."""
    message = pod_dir.container(container["name"]).termination_log
    paths = {container.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH: message}
    for mount in container.get("volumeMounts") or []:
        if mount["name"] not in volumes or mount.get("subPath"):
            raise config_error(f"the local node does not support the mount of {mount['name']} at {mount['mountPath']}")
        paths[posixpath.normpath(mount["mountPath"])] = pod_dir.volume(mount["name"])
    return dict(sorted(paths.items(), key=lambda item: len(item[0]), reverse=True))


def _on_host(value: str, paths: Mapping[str, Path]) -> str:
    """There are no mounts: a value that is a path in a mount becomes the path on this machine."""
    if ".." in value.split("/"):
        return value
    for inside, outside in paths.items():
        if value == inside or value.startswith(inside + "/"):
            return str(outside) + value[len(inside) :]
    return value
