"""The environment variables of a container, as a kubelet builds them. Pure; used by `pod_spec.py` and by tests."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from darkroom_local.kube.client import Json
from darkroom_local.node.errors import config_error
from darkroom_local.node.expansion import expand
from darkroom_local.node.pod_fields import resource_text, variable_text

_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


@dataclass(frozen=True)
class EnvSources:
    """What a pod's variables may refer to outside the pod."""

    secrets: Mapping[str, Mapping[str, str]]
    """The existing Secrets, decoded, by name."""
    config_maps: Mapping[str, Mapping[str, str]]
    """The existing ConfigMaps, by name."""
    allocatable: Mapping[str, str] = field(default_factory=dict)
    """The resources of the node: the limits of a container that sets none."""


def referenced_sources(containers: list[Json]) -> tuple[set[str], set[str]]:
    """Names of the Secrets and of the ConfigMaps that the containers' environments reference."""
    references = [each for container in containers for each in _references(container)]
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


def container_env(pod: Json, container: Json, sources: EnvSources) -> dict[str, str]:
    """The variables of `env` and `envFrom`. Raises `CannotStartError` when one can't be resolved."""
    values: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        found = _from_source(source, sources)
        prefixed = {source.get("prefix", "") + key: value for key, value in found.items()}
        values |= {name: value for name, value in prefixed.items() if _VARIABLE.fullmatch(name)}
    for variable in container.get("env") or []:
        value = _value(pod, container["name"], variable, sources, values)
        if value is not None:
            values[variable["name"]] = value
    return values


def _value(pod: Json, container: str, variable: Json, sources: EnvSources, values: Mapping[str, str]) -> str | None:
    """None for an optional variable whose source does not exist."""
    origin = variable.get("valueFrom")
    if origin is None:
        return expand(variable.get("value", ""), values)
    if "fieldRef" in origin or "resourceFieldRef" in origin:
        return _own_field(pod, container, origin, sources)
    kind, reference = next(iter(origin.items()))
    found = _from_source({kind.replace("Key", ""): reference}, sources)
    if reference.get("key") not in found and not reference.get("optional"):
        raise config_error(f"couldn't find key {reference.get('key')} in {kind} {reference.get('name')}")
    return found.get(reference["key"])


def _from_source(source: Json, sources: EnvSources) -> Mapping[str, str]:
    for kind, word, known in (
        ("secretRef", "secret", sources.secrets),
        ("configMapRef", "configmap", sources.config_maps),
    ):
        if kind in source:
            name = source[kind]["name"]
            if name not in known and not source[kind].get("optional"):
                raise config_error(f'{word} "{name}" not found')
            return known.get(name, {})
    raise config_error(f"the local node does not support variables from {', '.join(source)}")


def _own_field(pod: Json, container: str, origin: Json, sources: EnvSources) -> str:
    try:
        if "fieldRef" in origin:
            return variable_text(pod, origin["fieldRef"]["fieldPath"])
        return resource_text(pod, origin["resourceFieldRef"], container, sources.allocatable)
    except ValueError as error:
        raise config_error(str(error)) from error
