"""Users, and the authentication of a token as one of them."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.auth.tokens import Claims, Tokens
from darkroom_local.apiserver.resources.resource import PODS, SERVICE_ACCOUNTS
from darkroom_local.apiserver.storage.store import Store

AUTHENTICATED, MASTERS = "system:authenticated", "system:masters"
ACCOUNT_PREFIX = "system:serviceaccount:"
BOUND_KINDS = {"Pod": PODS, "Secret": "/secrets"}
"""Kinds that a token may be bound to, and their collections."""


@dataclass(frozen=True)
class User:
    """An authenticated user."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict, hash=False, compare=False)


ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))


def service_account(namespace: str, name: str, uid: str = "", extra: dict[str, list[str]] | None = None) -> User:
    """The user of a ServiceAccount, with the groups that Kubernetes assigns."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"{ACCOUNT_PREFIX}{namespace}:{name}", groups, uid, extra or {})


def account_of(name: str) -> tuple[str, str] | None:
    """Namespace and name of the ServiceAccount with this user name, or None for other users."""
    namespace, colon, account = name.removeprefix(ACCOUNT_PREFIX).partition(":")
    is_account = name.startswith(ACCOUNT_PREFIX) and colon and namespace and account and ":" not in account
    return (namespace, account) if is_account else None


def named_user(name: str, groups: Iterable[str], uid: str = "") -> User:
    """The user that a request impersonates."""
    given = tuple(groups)
    if not given and (account := account_of(name)):
        return service_account(*account, uid)
    return User(name, tuple(dict.fromkeys((*given, AUTHENTICATED))), uid)


class Authenticator:
    """Authenticates the admin's token and those of ServiceAccounts. Reads the store on every request, so a token
    becomes invalid with its account."""

    def __init__(self, admin_token: str, tokens: Tokens, store: Store) -> None:
        self._admin_token = admin_token.encode()
        self._tokens = tokens
        self._store = store

    def user(self, token: bytes) -> User | None:
        """The user of a valid token, or None."""
        if self._admin_token and hmac.compare_digest(token, self._admin_token):
            return ADMIN
        claims = self._tokens.verify(token)
        return self._account(claims) if claims and self._is_valid(claims) else None

    def _account(self, claims: Claims) -> User:
        extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims.token_id}"]}
        return service_account(claims.namespace, claims.account, claims.account_uid, extra)

    def _is_valid(self, claims: Claims) -> bool:
        if not self._exists(SERVICE_ACCOUNTS, claims.namespace, claims.account, claims.account_uid):
            return False
        bound = claims.bound
        return bound is None or self._exists(BOUND_KINDS[bound.kind], claims.namespace, bound.name, bound.uid)

    def _exists(self, collection: str, namespace: str, name: str, uid: str) -> bool:
        found: Json | None = self._store.get(collection, namespace, name)
        return found is not None and bool(found["metadata"]["uid"] == uid)
