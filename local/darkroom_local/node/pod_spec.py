"""A pod's manifest as something this machine can start. Pure; called by the workers.

The operator's pods are what it must run; whatever of a pod it can't do is refused by name rather than left out.
"""

import base64
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from darkroom_local.kube.client import Json
from darkroom_local.node.expansion import expand
from darkroom_local.node.pod_dirs import PodDir, is_name

DEFAULT_MESSAGE_PATH = "/dev/termination-log"
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_FIELDS = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "metadata.uid": ("metadata", "uid"),
    "spec.nodeName": ("spec", "nodeName"),
}


class CannotStartError(Exception):
    """A pod that can't be started as things are; it may be later. Shown as the reason of a waiting container."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.container = ""
        """Whose fault it is; empty: the whole pod's."""


def config_error(message: str) -> CannotStartError:
    return CannotStartError("CreateContainerConfigError", message)


@dataclass(frozen=True)
class ProcessSpec:
    """What is started for a container."""

    container: str
    program: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    volumes: tuple[str, ...]


@dataclass(frozen=True)
class Sources:
    """Secrets and config maps that a pod names, by name, decoded; one that does not exist is not in here."""

    secrets: Mapping[str, Mapping[str, str]]
    config_maps: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class StartOrder:
    """The containers of a pod by when they run, as a kubelet orders them. Names are in the order of the manifest."""

    init: tuple[str, ...]
    """One after the other, before the others; sidecars among them go on running."""
    sidecars: frozenset[str]
    """Init containers with `restartPolicy: Always`: they end after the main containers."""
    main: tuple[str, ...]
    """All at once."""


def order(pod: Json) -> StartOrder:
    """Raises `CannotStartError` for pods that the local node can't run."""
    spec = pod["spec"]
    if spec.get("restartPolicy") != "Never":
        raise config_error(f"the local node runs a pod once: restartPolicy is {spec.get('restartPolicy')}, not Never")
    init, main = spec.get("initContainers") or [], spec.get("containers") or []
    for container in main:
        if container.get("restartPolicy", "Never") != "Never":
            raise config_error(f"container {container['name']}: the local node restarts no main container")
    for container in [*init, *main]:
        if not is_name(container["name"]):
            raise config_error(f"{container['name']!r} is no name of a container")
    return StartOrder(
        init=tuple(each["name"] for each in init),
        sidecars=frozenset(each["name"] for each in init if each.get("restartPolicy") == "Always"),
        main=tuple(each["name"] for each in main),
    )


def containers(pod: Json) -> list[Json]:
    """Init containers first."""
    return [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]


def source_names(pod: Json) -> tuple[set[str], set[str]]:
    """Names of the secrets and of the config maps that the environments of a pod's containers need."""
    references = [each for container in containers(pod) for each in _references(container)]
    secrets = {each[key]["name"] for each in references for key in ("secretRef", "secretKeyRef") if key in each}
    maps = {each[key]["name"] for each in references for key in ("configMapRef", "configMapKeyRef") if key in each}
    return secrets, maps


def _references(container: Json) -> Iterator[Json]:
    yield from container.get("envFrom") or []
    yield from (each["valueFrom"] for each in container.get("env") or [] if "valueFrom" in each)


def decode_secret(document: Json) -> dict[str, str]:
    return {
        key: base64.b64decode(value).decode(errors="surrogateescape")
        for key, value in (document.get("data") or {}).items()
    }


def process_specs(pod: Json, sources: Sources, folder: PodDir, bin_dir: Path) -> dict[str, ProcessSpec]:
    """What is started for each container, by its name. Raises `CannotStartError` for what can't be run here."""
    found = {}
    for container in containers(pod):
        try:
            found[container["name"]] = _process_spec(pod, container, sources, folder, bin_dir)
        except CannotStartError as error:
            error.container = container["name"]
            raise
    return found


def _process_spec(pod: Json, container: Json, sources: Sources, folder: PodDir, bin_dir: Path) -> ProcessSpec:
    volumes = tuple(_volumes(pod["spec"]))
    places = _places(container, volumes, folder)
    given = {name: _translated(value, places) for name, value in environment(pod, container, sources).items()}
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    if not container.get("command"):
        raise config_error("the local node has no images, and so no entry points: the container must have a command")
    program, *arguments = (expand(word, given) for word in words)
    tmp = str(folder.container(container["name"]).tmp)
    return ProcessSpec(
        container=container["name"],
        program=str(find_program(program, bin_dir, container["image"])),
        arguments=tuple(arguments),
        environment=_own_environment(tmp, bin_dir) | given | {"TMPDIR": tmp},
        volumes=volumes,
    )


def find_program(name: str, bin_dir: Path, image: str) -> Path:
    """The program of a command. Raises `CannotStartError`, with the reason of an image that is not there."""
    path = Path(os.path.normpath(bin_dir / name))
    if not path.is_relative_to(bin_dir) or path == bin_dir:
        raise CannotStartError("ErrImagePull", f"{name} is not in {bin_dir}, the only place that programs are run from")
    if not os.access(path, os.X_OK) or not path.is_file():
        raise CannotStartError(
            "ErrImagePull", f"there is no program {name} in {bin_dir}, which stands for image {image}"
        )
    return path


def _own_environment(home: str, bin_dir: Path) -> dict[str, str]:
    return {"PATH": f"{bin_dir}:{os.defpath.lstrip(':')}", "HOME": home, "LANG": "C.UTF-8"}


def _volumes(spec: Json) -> Iterator[str]:
    for volume in spec.get("volumes") or []:
        if "emptyDir" not in volume:
            raise config_error(f"volume {volume['name']}: the local node has emptyDir volumes only")
        yield volume["name"]


def _places(container: Json, volumes: tuple[str, ...], folder: PodDir) -> dict[str, Path]:
    """Paths within the container and what stands for them on this machine, the longest first."""
    message = folder.container(container["name"]).termination_message
    places = {container.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH: message}
    for mount in container.get("volumeMounts") or []:
        if mount["name"] not in volumes or mount.get("subPath"):
            raise config_error(f"the mount of volume {mount['name']} at {mount['mountPath']} is not served")
        places[posixpath.normpath(mount["mountPath"])] = folder.volume(mount["name"])
    return dict(sorted(places.items(), key=lambda place: len(place[0]), reverse=True))


def _translated(value: str, places: Mapping[str, Path]) -> str:
    """A value that is a path at or below a place becomes the path on this machine: there are no mounts here."""
    if ".." in value.split("/"):
        return value
    for inside, outside in places.items():
        if value == inside or value.startswith(inside + "/"):
            return str(outside) + value[len(inside) :]
    return value


def environment(pod: Json, container: Json, sources: Sources) -> dict[str, str]:
    """The container's own variables, as a kubelet makes them."""
    values: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        found = _from_source(source, sources)
        prefixed = {source.get("prefix", "") + key: value for key, value in found.items()}
        values |= {name: value for name, value in prefixed.items() if _VARIABLE.fullmatch(name)}
    for variable in container.get("env") or []:
        value = _value(pod, variable, sources, values)
        if value is not None:
            values[variable["name"]] = value
    return values


def _value(pod: Json, variable: Json, sources: Sources, values: Mapping[str, str]) -> str | None:
    """None: the variable is optional, and there is nothing to take it from."""
    origin = variable.get("valueFrom")
    if origin is None:
        return expand(variable.get("value", ""), values)
    if "fieldRef" in origin:
        return _field(pod, origin["fieldRef"]["fieldPath"])
    kind, reference = next(iter(origin.items()))
    found = _from_source({kind.replace("Key", ""): reference}, sources)
    if reference.get("key") not in found and not reference.get("optional"):
        raise config_error(f"couldn't find key {reference.get('key')} in {kind} {reference.get('name')}")
    return found.get(reference["key"])


def _from_source(source: Json, sources: Sources) -> Mapping[str, str]:
    for kind, word, known in (
        ("secretRef", "secret", sources.secrets),
        ("configMapRef", "configmap", sources.config_maps),
    ):
        if kind in source:
            name = source[kind]["name"]
            if name not in known and not source[kind].get("optional"):
                raise config_error(f'{word} "{name}" not found')
            return known.get(name, {})
    raise config_error(f"the local node can't take a variable from {', '.join(source)}")


def _field(pod: Json, path: str) -> str:
    if path not in _FIELDS:
        raise config_error(f"the local node does not know the field {path} of a pod")
    section, name = _FIELDS[path]
    return str(pod[section][name])
