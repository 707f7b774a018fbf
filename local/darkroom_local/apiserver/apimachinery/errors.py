"""Error responses: the `metav1.Status` objects that Kubernetes itself sends, with its texts. Pure.

StatusError is one class, because clients distinguish errors by `reason` and `code` only; a function below creates each.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from darkroom_local.apiserver.apimachinery.unstructured import Json


class StatusError(Exception):
    """Ends a request with this status."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def document(self) -> Json:
        """The body of the response."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


@dataclass(frozen=True)
class Cause:
    """One invalid field (field.Error of apimachinery)."""

    field: str
    reason: str
    """FieldValueInvalid, FieldValueRequired, FieldValueNotSupported, FieldValueForbidden, ..."""
    text: str
    """Kubernetes' text without the field: `Invalid value: 0: must be greater than 0`."""

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


def invalid_value(field: str, value: Any, detail: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {json.dumps(value, ensure_ascii=False)}: {detail}")


def required_value(field: str, detail: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def unsupported_value(field: str, value: Any, supported: Iterable[Any]) -> Cause:
    listed = ", ".join(json.dumps(each, ensure_ascii=False) for each in supported)
    text = f"Unsupported value: {json.dumps(value, ensure_ascii=False)}: supported values: {listed}"
    return Cause(field, "FieldValueNotSupported", text)


def forbidden_value(field: str, detail: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def _qualified(name: str, group: str) -> str:
    return f"{name}.{group}" if group else name


def not_found(plural: str, group: str, name: str) -> StatusError:
    message = f'{_qualified(plural, group)} "{name}" not found'
    return StatusError(404, "NotFound", message, _details(name, group, plural))


def no_such_path() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> StatusError:
    message = f'{_qualified(plural, group)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, _details(name, group, plural))


def conflict(plural: str, group: str, name: str, why: str = "") -> StatusError:
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {why}'
    return StatusError(409, "Conflict", message, _details(name, group, plural))


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> StatusError:
    listed = str(causes[0]) if len(causes) == 1 else "[" + ", ".join(map(str, causes)) + "]"
    details = _details(name, group, kind)
    details["causes"] = [{"reason": c.reason, "message": c.text, "field": c.field} for c in causes]
    return StatusError(422, "Invalid", f'{_qualified(kind, group)} "{name}" is invalid: {listed}', details)


def forbidden(plural: str, group: str, name: str, why: str) -> StatusError:
    """For an object, for a whole resource (no name), or for a non-resource path (no plural)."""
    what = f'{_qualified(plural, group)} "{name}"' if name else _qualified(plural, group)
    message = f"{what} is forbidden: {why}" if plural else f"forbidden: {why}"
    return StatusError(403, "Forbidden", message, _details(name, group, plural))


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> StatusError:
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported_media(given: str, known: list[str]) -> StatusError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(known)}"
    return StatusError(415, "UnsupportedMediaType", f"{message} (given: {given or 'none'})")


def service_unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)


def _details(name: str, group: str, kind: str) -> Json:
    details = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value}
