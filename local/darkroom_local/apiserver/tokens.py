"""Tokens of ServiceAccounts: JSON Web Tokens with the claims of Kubernetes' own, signed with a key that is kept.

Made at the TokenRequest API (accounts.py), read when somebody comes with one (identities.py). Kubernetes signs with a
private key, for others to check; nobody but this server reads these, so a shared key (HS256, RFC 7518) does.
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

from darkroom_local.apiserver.documents import Json, encode
from darkroom_local.state.private_files import write_private

AUDIENCE = "https://kubernetes.default.svc.cluster.local"
"""Of this server, and its issuer's name: both as in a cluster that is left as it comes."""
HEADER = {"alg": "HS256", "typ": "JWT"}
PRIVATE = "kubernetes.io"
KEY_BYTES = 32


@dataclass(frozen=True)
class Bound:
    """An object whose end is the token's too."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class Claims:
    """What a token says, and is signed for."""

    namespace: str
    account: str
    account_uid: str
    token_id: str
    bound: Bound | None = None


@dataclass(frozen=True)
class Issued:
    """A new token, and the second (Unix time) at which it ends."""

    token: str
    expires: int


class Tokens:
    """Signs and reads."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    def issue(self, account: Json, seconds: int, audiences: list[str], bound: Bound | None = None) -> Issued:
        """A token of a ServiceAccount, for those who call themselves by one of the audiences."""
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
            PRIVATE: private,
        }
        signed = f"{_encoded(encode(HEADER).encode())}.{_encoded(encode(claims).encode())}"
        return Issued(f"{signed}.{_encoded(self._signature(signed.encode()))}", end)

    def read(self, token: bytes) -> Claims | None:
        """None for what we have not signed, for what was made for others, and for what is past its time."""
        signed, _, signature = token.rpartition(b".")
        if not signed or not hmac.compare_digest(_encoded(self._signature(signed)).encode(), signature):
            return None
        claims = json.loads(_decoded(signed.partition(b".")[2]))
        return _claims(claims) if AUDIENCE in claims["aud"] and self._clock() < claims["exp"] else None

    def _signature(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, hashlib.sha256)


def _claims(claims: dict[str, Any]) -> Claims:
    private = claims[PRIVATE]
    account = private["serviceaccount"]
    found = [Bound(kind, **private[kind.lower()]) for kind in ("Pod", "Secret") if kind.lower() in private]
    return Claims(private["namespace"], account["name"], account["uid"], claims["jti"], found[0] if found else None)


def kept_key(path: Path) -> bytes:
    """The key of a folder's tokens, made when there is none: tokens outlive the process that made them."""
    if not path.exists():
        write_private(path, secrets.token_hex(KEY_BYTES))
    return bytes.fromhex(path.read_text(encoding="utf-8"))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))
