"""Tokens of ServiceAccounts: JSON Web Tokens with the claims that Kubernetes uses, signed with a stored key.

Kubernetes signs with a private key, so that others can verify. Only this server reads these tokens, so it uses a shared
key (HS256, RFC 7518).
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom_local.apiserver.apimachinery.unstructured import Json, encode
from darkroom_local.state.private_files import write_private

AUDIENCE = "https://kubernetes.default.svc.cluster.local"
"""Audience and issuer of this server: the defaults of a cluster."""
HEADER = {"alg": "HS256", "typ": "JWT"}
PRIVATE_CLAIM = "kubernetes.io"
KEY_BYTES = 32


@dataclass(frozen=True)
class BoundObject:
    """An object that a token is bound to; deleting it invalidates the token."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class Claims:
    """The claims of a verified token."""

    namespace: str
    account: str
    account_uid: str
    token_id: str
    bound: BoundObject | None = None


@dataclass(frozen=True)
class IssuedToken:
    """A new token."""

    token: str
    expires: int
    """Unix time."""


class Tokens:
    """Issues and verifies tokens."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    def issue(self, account: Json, seconds: int, audiences: list[str], bound: BoundObject | None = None) -> IssuedToken:
        """A token of a ServiceAccount for these audiences."""
        metadata, start = account["metadata"], int(self._clock())
        end = start + seconds
        private: Json = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if bound:
            private[bound.kind.lower()] = {"name": bound.name, "uid": bound.uid}
        claims = {
            "aud": audiences,
            "exp": end,
            "iat": start,
            "nbf": start,
            "iss": AUDIENCE,
            "jti": str(uuid.uuid4()),
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
            PRIVATE_CLAIM: private,
        }
        signed = f"{_encoded(encode(HEADER).encode())}.{_encoded(encode(claims).encode())}"
        return IssuedToken(f"{signed}.{_encoded(self._signature(signed.encode()))}", end)

    def verify(self, token: bytes) -> Claims | None:
        """None for a wrong signature, another audience, or an expired token."""
        signed, _, signature = token.rpartition(b".")
        if not signed or not hmac.compare_digest(_encoded(self._signature(signed)).encode(), signature):
            return None
        claims = json.loads(_decoded(signed.partition(b".")[2]))
        return _claims(claims) if AUDIENCE in claims["aud"] and self._clock() < claims["exp"] else None

    def _signature(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, hashlib.sha256)


def _claims(claims: dict[str, Any]) -> Claims:
    private = claims[PRIVATE_CLAIM]
    account = private["serviceaccount"]
    found = [BoundObject(kind, **private[kind.lower()]) for kind in ("Pod", "Secret") if kind.lower() in private]
    return Claims(private["namespace"], account["name"], account["uid"], claims["jti"], found[0] if found else None)


def load_or_create_key(path: Path) -> bytes:
    """The signing key of a data folder, created if missing: tokens stay valid across restarts of the server."""
    if not path.exists():
        write_private(path, secrets.token_hex(KEY_BYTES))
    return bytes.fromhex(path.read_text(encoding="utf-8"))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))
