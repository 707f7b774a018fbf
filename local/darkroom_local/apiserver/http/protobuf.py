"""Decodes the few objects that clients send as protobuf only.

`kubectl create secret`, `configmap`, `namespace`, `serviceaccount`, `role`, `rolebinding` and similar, `kubectl create
token`, `kubectl auth`, and Helm's deletion of releases use it. Objects from files are sent as JSON.
https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from darkroom_local.apiserver.apimachinery.unstructured import Json

MAGIC = b"k8s\x00"

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types (https://protobuf.dev/programming-guides/encoding)."""


class UnreadableError(ValueError):
    """The body is not one of the supported messages."""


@dataclass(frozen=True)
class Field:
    """A field of a message: its JSON name, and the type of its value."""

    name: str
    kind: str
    """text, data (base64 in JSON), flag, number, quantity; texts, datas, quantities (maps with such values); or a
    message's name."""
    repeated: bool = False


ROLE = {1: Field("metadata", "Metadata"), 2: Field("rules", "PolicyRule", repeated=True)}
BINDING = {
    1: Field("metadata", "Metadata"),
    2: Field("subjects", "Subject", repeated=True),
    3: Field("roleRef", "RoleRef"),
}
MESSAGES: dict[str, dict[int, Field]] = {
    "TypeMeta": {1: Field("apiVersion", "text"), 2: Field("kind", "text")},
    "Metadata": {
        1: Field("name", "text"),
        2: Field("generateName", "text"),
        3: Field("namespace", "text"),
        11: Field("labels", "texts"),
        12: Field("annotations", "texts"),
    },
    "Secret": {
        1: Field("metadata", "Metadata"),
        2: Field("data", "datas"),
        3: Field("type", "text"),
        4: Field("stringData", "texts"),
        5: Field("immutable", "flag"),
    },
    "ConfigMap": {
        1: Field("metadata", "Metadata"),
        2: Field("data", "texts"),
        3: Field("binaryData", "datas"),
        4: Field("immutable", "flag"),
    },
    "Namespace": {1: Field("metadata", "Metadata")},
    "ServiceAccount": {1: Field("metadata", "Metadata")},
    "DeleteOptions": {
        1: Field("gracePeriodSeconds", "number"),
        2: Field("preconditions", "Preconditions"),
        3: Field("orphanDependents", "flag"),
        4: Field("propagationPolicy", "text"),
        5: Field("dryRun", "text", repeated=True),
    },
    "Preconditions": {1: Field("uid", "text"), 2: Field("resourceVersion", "text")},
    "TokenRequest": {1: Field("metadata", "Metadata"), 2: Field("spec", "TokenRequestSpec")},
    "TokenRequestSpec": {
        1: Field("audiences", "text", repeated=True),
        3: Field("boundObjectRef", "BoundObjectReference"),
        4: Field("expirationSeconds", "number"),
    },
    "BoundObjectReference": {
        1: Field("kind", "text"),
        2: Field("apiVersion", "text"),
        3: Field("name", "text"),
        4: Field("uid", "text"),
    },
    "SelfSubjectReview": {1: Field("metadata", "Metadata")},
    "SelfSubjectAccessReview": {1: Field("metadata", "Metadata"), 2: Field("spec", "AccessReviewSpec")},
    "AccessReviewSpec": {
        1: Field("resourceAttributes", "ResourceAttributes"),
        2: Field("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        1: Field("namespace", "text"),
        2: Field("verb", "text"),
        3: Field("group", "text"),
        4: Field("version", "text"),
        5: Field("resource", "text"),
        6: Field("subresource", "text"),
        7: Field("name", "text"),
    },
    "NonResourceAttributes": {1: Field("path", "text"), 2: Field("verb", "text")},
    "SelfSubjectRulesReview": {1: Field("metadata", "Metadata"), 2: Field("spec", "RulesReviewSpec")},
    "RulesReviewSpec": {1: Field("namespace", "text")},
    **dict.fromkeys(("Role", "ClusterRole"), ROLE),
    **dict.fromkeys(("RoleBinding", "ClusterRoleBinding"), BINDING),
    "PolicyRule": {
        number: Field(name, "text", repeated=True)
        for number, name in enumerate(("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"), start=1)
    },
    "Subject": {
        1: Field("kind", "text"),
        2: Field("apiGroup", "text"),
        3: Field("name", "text"),
        4: Field("namespace", "text"),
    },
    "RoleRef": {1: Field("apiGroup", "text"), 2: Field("kind", "text"), 3: Field("name", "text")},
    "ResourceQuota": {1: Field("metadata", "Metadata"), 2: Field("spec", "ResourceQuotaSpec")},
    "ResourceQuotaSpec": {1: Field("hard", "quantities"), 2: Field("scopes", "text", repeated=True)},
    "PriorityClass": {
        1: Field("metadata", "Metadata"),
        2: Field("value", "number"),
        3: Field("globalDefault", "flag"),
        4: Field("description", "text"),
        5: Field("preemptionPolicy", "text"),
    },
}
MAPS = {"texts": "text", "datas": "data", "quantities": "quantity"}
"""Map types, and the types of their values."""


def read(body: bytes) -> Json:
    """Decode an object of one of the kinds above. Raises `UnreadableError`."""
    try:
        parts = dict(_fields(body.removeprefix(MAGIC)))
        identity = _message("TypeMeta", parts[1])
        kind = identity.get("kind", "")
        if kind not in MESSAGES:
            raise UnreadableError(f"{kind} is not supported as protobuf: send it as JSON, with kubectl apply -f")
        return {**identity, **_message(kind, parts.get(2, b""))}
    except (KeyError, IndexError, TypeError, UnicodeDecodeError) as error:
        raise UnreadableError(f"the body is not a Kubernetes protobuf message: {error!r}") from error


def _message(name: str, body: bytes) -> Json:
    known, decoded = MESSAGES[name], Json()
    for number, value in _fields(body):
        field = known.get(number)
        if field is None:
            continue
        if field.kind in MAPS:
            entry = dict(_fields(value))
            decoded.setdefault(field.name, {})[entry[1].decode()] = _value(MAPS[field.kind], entry.get(2, b""))
        elif field.repeated:
            decoded.setdefault(field.name, []).append(_value(field.kind, value))
        elif field.kind != "text" or value:  # Kubernetes encodes empty strings.
            decoded[field.name] = _value(field.kind, value)
    return decoded


def _value(kind: str, value: Any) -> Any:
    match kind:
        case "text":
            return value.decode()
        case "data":
            return base64.b64encode(value).decode()
        case "flag":
            return bool(value)
        case "number":  # Negative numbers are encoded as 64 bits.
            return value - (1 << 64) if value >> 63 else value
        case "quantity":
            return dict(_fields(value))[1].decode()
        case _:
            return _message(kind, value)


def _fields(body: bytes) -> Iterator[tuple[int, Any]]:
    """The field numbers and raw values of a message."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(body, at)
            yield number, value
        elif wire == BYTES:
            length, at = _varint(body, at)
            if at + length > len(body):
                raise IndexError("a field is longer than its message")
            yield number, body[at : at + length]
            at += length
        elif wire in (FIXED64, FIXED32):
            at += 8 if wire == FIXED64 else 4
        else:
            raise TypeError(f"wire type {wire}")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
