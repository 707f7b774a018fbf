"""Fields of a pod as text, for the downward API: `fieldRef` and `resourceFieldRef` in variables and volumes. Pure.

Sources, of Kubernetes 1.36: pkg/fieldpath/fieldpath.go, pkg/api/v1/resource/helpers.go, pkg/kubelet/kubelet_pods.go.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from darkroom_local.kube.client import Json

HOST_IP = "127.0.0.1"
METADATA_FIELDS = ("name", "namespace", "uid")
MAPS = ("annotations", "labels")
_SUBSCRIPTED = re.compile(r"(?P<path>.+?)\['(?P<key>.*)'\]", re.DOTALL)
_ESCAPES = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", "\\": "\\", '"': '"'}
_SUFFIXES = {suffix: 10 ** (3 * power) for power, suffix in enumerate(("", "k", "M", "G", "T", "P", "E"))}
_SUFFIXES |= {f"{suffix}i": 1024**power for power, suffix in enumerate(("K", "M", "G", "T", "P", "E"), start=1)}
_QUANTITY = re.compile(r"(?P<number>[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)(?P<suffix>n|u|m|k|[MGTPE]|[KMGTPE]i)?")
_FRACTIONS = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")}


class UnsupportedFieldError(ValueError):
    """A pod has no such field, or the downward API does not offer it."""


def field_text(pod: Json, path: str) -> str:
    """A field that both variables and volumes may name. Raises `UnsupportedFieldError`.

    A missing annotation or label is empty. A map is one line `key="value"` for each entry, in order of the keys.
    """
    metadata = pod["metadata"]
    if subscripted := _SUBSCRIPTED.fullmatch(path):
        section, _, name = subscripted["path"].rpartition(".")
        if section != "metadata" or name not in MAPS:
            raise UnsupportedFieldError(f'fieldPath "{subscripted["path"]}" does not support subscript')
        return str((metadata.get(name) or {}).get(subscripted["key"], ""))
    section, _, name = path.rpartition(".")
    if section == "metadata" and name in METADATA_FIELDS:
        return str(metadata[name])
    if section == "metadata" and name in MAPS:
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted((metadata.get(name) or {}).items()))
    raise UnsupportedFieldError(f"unsupported fieldPath: {path}")


def variable_text(pod: Json, path: str) -> str:
    """A field for an environment variable. Raises `UnsupportedFieldError`.

    Maps as a whole are for volumes only; fields of spec and status are for variables only.
    """
    spec = pod["spec"]
    own = {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.hostIP": HOST_IP,
        "status.hostIPs": HOST_IP,
    }
    if path in own:
        return str(own[path])
    if path in ("status.podIP", "status.podIPs"):
        raise UnsupportedFieldError(f"{path}: pods of the local node have no addresses, they use those of the machine")
    if path in [f"metadata.{name}" for name in MAPS]:
        raise UnsupportedFieldError(f"field label not supported: {path}")
    return field_text(pod, path)


def resource_text(pod: Json, reference: Json, container: str, allocatable: Mapping[str, str]) -> str:
    """A resource limit or request of a container in units of the divisor, rounded up.

    Without a limit it is what the node can allocate, and without a request 0. Raises `UnsupportedFieldError`.
    """
    name = reference.get("containerName") or container
    every = [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]
    found = next((each for each in every if each["name"] == name), None)
    if found is None:
        raise UnsupportedFieldError(f"container {name} not found")
    kind, _, resource = str(reference.get("resource", "")).partition(".")
    if kind not in ("limits", "requests") or resource not in ("cpu", "memory", "ephemeral-storage"):
        raise UnsupportedFieldError(f"unsupported container resource : {reference.get('resource')}")
    limits, requests = ((found.get("resources") or {}).get(each) or {} for each in ("limits", "requests"))
    given = limits.get(resource, allocatable.get(resource, 0))
    if kind == "requests":
        given = requests.get(resource, limits.get(resource, 0))
    divisor = quantity(reference.get("divisor") or 0) or Decimal(1)
    return str(int((quantity(given) / divisor).to_integral_value(ROUND_CEILING)))


def quantity(text: object) -> Decimal:
    """A quantity such as `500m`, `2Gi` or 1. Raises `ValueError`."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a quantity")
    suffix = match["suffix"] or ""
    return Decimal(match["number"]) * (_FRACTIONS.get(suffix) or Decimal(_SUFFIXES[suffix]))


def _quoted(text: str) -> str:
    """Go's `%q`."""
    return '"' + "".join(_escaped(each) for each in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return f"\\{_ESCAPES[character]}"
    if character.isprintable():
        return character
    code = ord(character)
    if code < ord(" ") or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
