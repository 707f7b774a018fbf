"""The attributes of a request that authorization checks: verb, group, resource and name; or verb and path. Pure.

They are read from the request alone, like `RequestInfoFactory` of apiserver, so that a 403 does not reveal whether an
object exists.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from darkroom_local.apiserver.apimachinery.api_paths import boolean_parameter, parse_api_path
from darkroom_local.apiserver.apimachinery.errors import StatusError, forbidden

VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAME_SELECTOR = re.compile(r"(?:^|,)metadata\.name==?([^,]*)(?:$|,)")


@dataclass(frozen=True)
class Attributes:
    """One action on a resource; or, with only verb and path set, on a non-resource URL."""

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
        """Resource and subresource in the format of a rule."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def __str__(self) -> str:
        if not self.is_resource:
            return f'{self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'{self.verb} resource "{self.combined}" in API group "{self.group}" {where}'

    def creating(self) -> "Attributes":
        """The same request with the verb `create`."""
        return replace(self, verb="create")

    def refusal(self, user: str, reason: str) -> StatusError:
        """The 403 for a user without permission."""
        why = f'User "{user}" cannot {self}' + (f": {reason}" if reason else "")
        return forbidden(self.resource, self.group, self.name, why)


def read_attributes(method: str, path: str, query: Mapping[str, str]) -> Attributes:
    api_path = parse_api_path(path)
    if api_path is None:
        return Attributes(method.lower(), path=path)
    resource, name, subresource = [*api_path.parts, "", ""][:3]
    namespace = api_path.namespace or (name if resource == "namespaces" else "")
    verb = VERBS.get(method, method.lower())
    attributes = Attributes(verb, api_path.group, resource, subresource, namespace, name)
    return attributes if name else _collection_attributes(attributes, query)


def _collection_attributes(attributes: Attributes, query: Mapping[str, str]) -> Attributes:
    """A field selector for one name requires the permission for that object only."""
    if attributes.verb == "delete":
        attributes = replace(attributes, verb="deletecollection")
    elif attributes.verb == "get":
        attributes = replace(attributes, verb="watch" if boolean_parameter(query, "watch") else "list")
    else:
        return attributes
    selected = NAME_SELECTOR.search(query.get("fieldSelector", ""))
    return replace(attributes, name=selected[1]) if selected else attributes
