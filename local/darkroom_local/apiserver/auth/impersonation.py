"""User impersonation: `kubectl --as`. Runs before the request is authorized.

https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
"""

from collections.abc import Iterator

from starlette.datastructures import Headers

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.auth.attributes import Attributes
from darkroom_local.apiserver.auth.authenticator import User, account_of, named_user
from darkroom_local.apiserver.auth.authorizer import Authorizer


def effective_user(user: User, headers: Headers, authorizer: Authorizer) -> User:
    """The user that a request runs as. Raises 403 if the sender may not impersonate that user."""
    name, groups = headers.get("impersonate-user", ""), headers.getlist("impersonate-group")
    if not name and not groups:
        return user
    if not name:
        raise StatusError(500, "InternalError", f"requested {groups} without impersonating a user")
    for attributes in _required(name, groups):
        authorizer.require(user, attributes)
    return named_user(name, groups, headers.get("impersonate-uid", ""))


def _required(name: str, groups: list[str]) -> Iterator[Attributes]:
    account = account_of(name)
    if account:
        yield Attributes("impersonate", resource="serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield Attributes("impersonate", resource="users", name=name)
    for group in groups:
        yield Attributes("impersonate", resource="groups", name=group)
