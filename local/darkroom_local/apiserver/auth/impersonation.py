"""Acting as somebody else: `kubectl --as`. Pure; called by routes before it asks whether a request may be made.

https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
"""

from collections.abc import Iterator

from starlette.datastructures import Headers

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.auth.attributes import Attributes
from darkroom_local.apiserver.auth.authenticator import User, account_of, named_user
from darkroom_local.apiserver.auth.authorizer import Authorizer


def acting_user(sender: User, headers: Headers, authorizer: Authorizer) -> User:
    """Whom a request is to be judged as. Raises 403 when its sender may not act for him."""
    name, groups = headers.get("impersonate-user", ""), headers.getlist("impersonate-group")
    if not name and not groups:
        return sender
    if not name:
        raise StatusError(500, "InternalError", f"requested {groups} without impersonating a user")
    for wanted in _wanted(name, groups):
        authorizer.require(sender, wanted)
    return named_user(name, groups, headers.get("impersonate-uid", ""))


def _wanted(name: str, groups: list[str]) -> Iterator[Attributes]:
    account = account_of(name)
    if account:
        yield Attributes("impersonate", resource="serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield Attributes("impersonate", resource="users", name=name)
    for group in groups:
        yield Attributes("impersonate", resource="groups", name=group)
