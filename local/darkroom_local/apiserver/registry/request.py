"""The target and options of a request, independent of HTTP, and the result of a write."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from darkroom_local.apiserver.apimachinery.unstructured import Json, key_of
from darkroom_local.apiserver.resources.resource import Resource


@dataclass(frozen=True)
class RequestTarget:
    """A resource, and the namespace, object and subresource that the request names."""

    resource: Resource
    namespace: str
    name: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, resource: Resource, document: Json) -> "RequestTarget":
        return cls(resource, *key_of(document))

    def subresource_of(self, name: str) -> "RequestTarget":
        """Another subresource of the same object; empty for the object itself."""
        return replace(self, subresource=name)


@dataclass(frozen=True)
class WriteOptions:
    """Query parameters of a write."""

    dry_run: bool = False
    strict: bool = False
    """Unknown fields are an error."""
    warn: bool = True
    """Unknown fields cause a warning."""
    manager: str = "unknown"
    force: bool = False
    may_create: Callable[[], None] = lambda: None
    """Raises 403 if the user may not create; called when an applied object does not exist."""


@dataclass(frozen=True)
class WriteResult:
    """The object after a write, and warnings for the client."""

    document: Json
    warnings: tuple[str, ...] = ()
    created: bool = False
