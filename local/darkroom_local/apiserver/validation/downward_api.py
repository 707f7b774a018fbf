"""Defaults and validation of the downward API: `fieldRef` in a pod's variables, and downward API volumes. Pure.

Sources, of Kubernetes 1.36: pkg/apis/core/validation/validation.go, pkg/apis/core/pods/helpers.go. As there, the error
of a volume's item does not contain the item's number.
"""

import re
from collections.abc import Iterator

from darkroom_local.apiserver.apimachinery.errors import Cause, invalid_value, required_value, unsupported_value
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.validation.object_metadata import LABEL_KEY

DEFAULT_MODE = 0o644
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
VARIABLE_FIELDS = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
OTHER_FIELDS = ("spec.restartPolicy", "spec.schedulerName", "spec.terminationGracePeriodSeconds", "status.phase")
"""Known to the downward API, but offered neither to variables nor to volumes."""
SUBSCRIPTED_FIELDS = ("metadata.annotations", "metadata.labels")
_SUBSCRIPTED = re.compile(r"(?P<path>.+?)\['(?P<key>.*)'\]", re.DOTALL)


def set_defaults(spec: Json) -> None:
    """In place."""
    for _, source in _volumes(spec):
        if source.get("defaultMode") is None:
            source["defaultMode"] = DEFAULT_MODE
    for _, reference, _ in _field_references(spec):
        reference.setdefault("apiVersion", "v1")


def validate(spec: Json) -> list[Cause]:
    """Errors of a new pod; its spec is immutable afterwards."""
    causes = [cause for path, reference, known in _field_references(spec) for cause in _field(path, reference, known)]
    for path, source in _volumes(spec):
        if not 0 <= source["defaultMode"] <= 0o777:
            causes.append(_invalid_mode(f"{path}.defaultMode", source["defaultMode"]))
        for item in source.get("items") or []:
            causes += _item(path, item)
    return causes


def _volumes(spec: Json) -> Iterator[tuple[str, Json]]:
    for number, volume in enumerate(spec.get("volumes") or []):
        if isinstance(volume.get("downwardAPI"), dict):
            yield f"spec.volumes[{number}].downwardAPI", volume["downwardAPI"]


def _field_references(spec: Json) -> Iterator[tuple[str, Json, tuple[str, ...]]]:
    """Each reference with its path in the pod and the fields that it may name without a subscript."""
    for path, source in _volumes(spec):
        for item in source.get("items") or []:
            if item.get("fieldRef"):
                yield f"{path}.fieldRef", item["fieldRef"], VOLUME_FIELDS
    for kind in ("initContainers", "containers"):
        for outer, container in enumerate(spec.get(kind) or []):
            for inner, variable in enumerate(container.get("env") or []):
                if reference := (variable.get("valueFrom") or {}).get("fieldRef"):
                    yield f"spec.{kind}[{outer}].env[{inner}].valueFrom.fieldRef", reference, VARIABLE_FIELDS


def _field(path: str, reference: Json, known: tuple[str, ...]) -> list[Cause]:
    given = reference.get("fieldPath")
    if not given:
        return [required_value(f"{path}.fieldPath")]
    subscripted = _SUBSCRIPTED.fullmatch(given)
    if subscripted is None:
        if given in known:
            return []
        if given in (*VOLUME_FIELDS, *VARIABLE_FIELDS, *OTHER_FIELDS):
            return [unsupported_value(f"{path}.fieldPath", given, sorted(known))]
        return [_not_converted(path, given, f"field label not supported: {given}")]
    if subscripted["path"] not in SUBSCRIPTED_FIELDS:
        return [_not_converted(path, given, f"field label does not support subscript: {given}")]
    key = subscripted["key"].lower() if subscripted["path"] == "metadata.annotations" else subscripted["key"]
    return (
        [] if LABEL_KEY.match(key) else [invalid_value(path, subscripted["key"], "name part must be a qualified name")]
    )


def _not_converted(path: str, given: str, why: str) -> Cause:
    return invalid_value(f"{path}.fieldPath", given, f"error converting fieldPath: {why}")


def _item(path: str, item: Json) -> list[Cause]:
    causes = []
    name = item.get("path") or ""
    if not name:
        causes.append(required_value(f"{path}.path"))
    if name.startswith("/"):
        causes.append(invalid_value(f"{path}.path", name, "must be a relative path"))
    if ".." in name.split("/"):
        causes.append(invalid_value(f"{path}.path", name, "must not contain '..'"))
    elif name.startswith(".."):
        causes.append(invalid_value(f"{path}.path", name, "must not start with '..'"))
    if item.get("fieldRef") and item.get("resourceFieldRef"):
        detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
        causes.append(invalid_value(path, "resource", detail))
    if not item.get("fieldRef") and not item.get("resourceFieldRef"):
        causes.append(required_value(path, "one of fieldRef and resourceFieldRef is required"))
    if item.get("mode") is not None and not 0 <= item["mode"] <= 0o777:
        causes.append(_invalid_mode(f"{path}.mode", item["mode"]))
    return causes


def _invalid_mode(path: str, mode: int) -> Cause:
    return invalid_value(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")
