"""Reads what HTTP requests ask for: the path's place, the query's options, the body. Pure but for reading the body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from starlette.requests import Request

from darkroom_local.apiserver.documents import Json
from darkroom_local.apiserver.errors import StatusError, bad_request, no_such_path
from darkroom_local.apiserver.registry import Registry
from darkroom_local.apiserver.verbs import Options, Place

MAX_BODY_BYTES = 3 * 1024 * 1024
"""As the real API server limits requests."""


def find_place(registry: Registry, path: str) -> Place:
    """Which resource, object and subresource a path means. Raises 404."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise no_such_path()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource = registry.find(group, version, rest[0])
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise no_such_path()
    name, subresource = [*rest[1:], "", ""][:2]
    if (subresource and subresource not in resource.subresources) or (name and resource.namespaced and not namespace):
        raise no_such_path()
    return Place(resource, namespace, name, subresource)


def write_options(query: Mapping[str, str]) -> Options:
    """Raises 400 for an unknown dryRun."""
    if query.get("dryRun", "All") not in ("All", ""):
        raise bad_request(f'dryRun: Unsupported value: {query["dryRun"]!r}: supported values: "All"')
    return Options(
        dry_run=query.get("dryRun") == "All",
        strict=query.get("fieldValidation") == "Strict",
        manager=query.get("fieldManager") or "unknown",
        force=query.get("force") == "true",
    )


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request) -> Any:
    """JSON or YAML; None when there is none. Raises 400, 413 or 415."""
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            limit = f"Request entity too large: limit is {MAX_BODY_BYTES}"
            raise StatusError(413, "RequestEntityTooLarge", limit)
    if not raw.strip():
        return None
    if raw.startswith(b"k8s\x00"):
        raise StatusError(415, "UnsupportedMediaType", "protobuf is not served: send application/json")
    try:
        return _parse_yaml(raw) if "yaml" in content_type(request) else json.loads(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the body of the request can't be read: {error}") from error


def _parse_yaml(raw: bytes) -> Any:
    """`kubectl` sends JSON under YAML's name, whose numbers PyYAML does not all know as such (1e-8)."""
    try:
        return json.loads(raw)
    except ValueError:
        return yaml.safe_load(raw)


@dataclass(frozen=True)
class Shape:
    """How the client wants objects: as they are, or as a table."""

    as_table: bool
    include: str

    @classmethod
    def of(cls, request: Request) -> "Shape":
        wanted = request.headers.get("accept", "").split(",")[0].replace(" ", "")
        return cls(";as=Table" in wanted, request.query_params.get("includeObject", "Metadata"))


def delete_options(query: Mapping[str, str], body: Any) -> Json:
    """DeleteOptions of the body, or of the query where the body has none."""
    options: Json = (
        dict(body) if isinstance(body, dict) and body.get("kind", "DeleteOptions") == "DeleteOptions" else {}
    )
    if "gracePeriodSeconds" in query:
        options.setdefault("gracePeriodSeconds", integer(query, "gracePeriodSeconds"))
    if "propagationPolicy" in query:
        options.setdefault("propagationPolicy", query["propagationPolicy"])
    return options


def integer(query: Mapping[str, str], name: str) -> int:
    try:
        return int(query[name])
    except ValueError as error:
        raise bad_request(f"{name}: {query[name]!r} is not a number") from error
