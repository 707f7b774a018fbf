"""What a request wants, in the words in which rights are given: verb, group, resource, name; or verb and path. Pure.

Read from the request alone, as Kubernetes does (`RequestInfoFactory` of apiserver), so that nobody learns what exists
by asking for what he may not have. Made by `routes.py`, `accounts.py` and `reviews.py`; judged by `access.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from darkroom_local.apiserver.apimachinery.errors import StatusError, forbidden

VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAMESPACE_PARTS = frozenset({"status", "finalize"})
NAME_SELECTOR = re.compile(r"(?:^|,)metadata\.name==?([^,]*)(?:$|,)")


@dataclass(frozen=True)
class Attributes:
    """One thing that somebody wants to do. Of a request for no resource only verb and path are set."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def is_resource(self) -> bool:
        return not self.path

    @property
    def combined(self) -> str:
        """Resource and subresource as a rule names them."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def __str__(self) -> str:
        if not self.is_resource:
            return f'{self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'{self.verb} resource "{self.combined}" in API group "{self.group}" {where}'

    def creating(self) -> "Attributes":
        """The creation of the same object."""
        return replace(self, verb="create")

    def refusal(self, user: str, reason: str) -> StatusError:
        """The 403 for somebody who may not."""
        why = f'User "{user}" cannot {self}' + (f": {reason}" if reason else "")
        return forbidden(self.resource, self.group, self.name, why)


def read_attributes(method: str, path: str, query: Mapping[str, str]) -> Attributes:
    parts = [part for part in path.split("/") if part]
    grouped = parts[:1] == ["apis"]
    if parts[:1] not in (["api"], ["apis"]) or len(parts) < (4 if grouped else 3):
        return Attributes(method.lower(), path=path)
    group, rest = (parts[1], parts[3:]) if grouped else ("", parts[2:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_PARTS:
            rest = rest[2:]
    resource, name, subresource = [*rest, "", ""][:3]
    wanted = Attributes(VERBS.get(method, method.lower()), group, resource, subresource, namespace, name)
    return wanted if name else _of_many(wanted, query)


def _of_many(wanted: Attributes, query: Mapping[str, str]) -> Attributes:
    """Who asks for one object by a selector is asked whether he may see that one."""
    if wanted.verb == "delete":
        wanted = replace(wanted, verb="deletecollection")
    elif wanted.verb == "get":
        watches = query.get("watch", "false").lower() not in ("false", "0")
        wanted = replace(wanted, verb="watch" if watches else "list")
    else:
        return wanted
    selected = NAME_SELECTOR.search(query.get("fieldSelector", ""))
    return replace(wanted, name=selected[1]) if selected else wanted
