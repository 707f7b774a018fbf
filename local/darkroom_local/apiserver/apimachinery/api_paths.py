"""How a URL of the Kubernetes API names a resource. Pure; shared by authorization and routing.

Both read the same parts: authorization from the request alone (`RequestInfoFactory` of apiserver), routing against the
resources that are served.
"""

from collections.abc import Mapping
from dataclasses import dataclass

NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True)
class ApiPath:
    """`/apis/GROUP/VERSION/PARTS` or, for the core group, `/api/VERSION/PARTS`."""

    group: str
    version: str
    namespace: str
    """Of `namespaces/NAMESPACE/PARTS`; empty for the namespaces themselves."""
    parts: list[str]
    """Resource, name and subresource, as far as they are given."""


def parse_api_path(path: str) -> ApiPath | None:
    """None for a path outside the resource API."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
        return ApiPath(group, version, rest[1], rest[2:])
    return ApiPath(group, version, "", rest)


def boolean_parameter(query: Mapping[str, str], name: str) -> bool:
    """As Kubernetes reads booleans: anything except `false` and `0` is true."""
    return name in query and query[name].lower() not in ("false", "0")
