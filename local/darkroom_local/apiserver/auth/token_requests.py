"""`serviceaccounts/token`: issues tokens (TokenRequest).

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from datetime import UTC, datetime
from typing import Any

from darkroom_local.apiserver.apimachinery.errors import (
    Cause,
    conflict,
    invalid,
    invalid_value,
    not_found,
    unsupported_value,
)
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig, timestamp
from darkroom_local.apiserver.auth.authenticator import BOUND_KINDS
from darkroom_local.apiserver.auth.tokens import AUDIENCE, BoundObject, Tokens
from darkroom_local.apiserver.registry.request import RequestTarget
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.registry import TOKEN_REQUEST
from darkroom_local.apiserver.validation.decoding import decode_object

DEFAULT_SECONDS, MIN_SECONDS, MAX_SECONDS = 3600, 600, 1 << 32


def request_token(api: ResourceApi, tokens: Tokens, target: RequestTarget, body: Any) -> Json:
    """The TokenRequest with its token. Raises 404, 409 or 422."""
    request = decode_object(TOKEN_REQUEST, target.namespace, body)
    account = api.get(target)
    spec = request.get("spec") or {}
    seconds = spec.get("expirationSeconds") or DEFAULT_SECONDS
    bound = spec.get("boundObjectRef")
    if causes := _causes(seconds, bound):
        raise invalid(TOKEN_REQUEST.kind, TOKEN_REQUEST.group, "", causes)
    audiences = spec.get("audiences") or [AUDIENCE]
    issued = tokens.issue(account, seconds, audiences, _bound_object(api, target.namespace, bound) if bound else None)
    expires = timestamp(datetime.fromtimestamp(issued.expires, UTC))
    return {
        "kind": TOKEN_REQUEST.kind,
        "apiVersion": TOKEN_REQUEST.group_version,
        "metadata": {field: account["metadata"][field] for field in ("name", "namespace")},
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound},
        "status": {"token": issued.token, "expirationTimestamp": expires},
    }


def _causes(seconds: int, bound: Json | None) -> list[Cause]:
    causes = []
    if seconds < MIN_SECONDS:
        why = "may not specify a duration less than 10 minutes"
        causes.append(invalid_value("spec.expirationSeconds", seconds, why))
    if seconds > MAX_SECONDS:
        why = "may not specify a duration larger than 2^32 seconds"
        causes.append(invalid_value("spec.expirationSeconds", seconds, why))
    if bound and bound.get("kind") not in BOUND_KINDS:
        causes.append(unsupported_value("spec.boundObjectRef.kind", bound.get("kind", ""), BOUND_KINDS))
    return causes


def _bound_object(api: ResourceApi, namespace: str, reference: Json) -> BoundObject:
    kind, name = reference["kind"], reference.get("name", "")
    found = api.store.get(BOUND_KINDS[kind], namespace, name)
    plural = BOUND_KINDS[kind].removeprefix("/")
    if found is None:
        raise not_found(plural, "", name)
    uid = str(dig(found, ("metadata", "uid")))
    if reference.get("uid") not in (None, "", uid):
        why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({uid})"
        raise conflict(plural, "", name, why)
    return BoundObject(kind, name, uid)
