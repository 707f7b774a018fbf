"""Reads what HTTP requests ask for: the path's target, the query's options, the body. Pure but for reading the body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from starlette.requests import Request

from darkroom_local.apiserver.apimachinery.errors import StatusError, bad_request, no_such_path
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.http import protobuf
from darkroom_local.apiserver.registry.resource_api import RequestTarget, WriteOptions
from darkroom_local.apiserver.resources.registry import Registry

MAX_BODY_BYTES = 3 * 1024 * 1024
"""As the real API server limits requests."""


def find_target(registry: Registry, path: str) -> RequestTarget:
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
    return RequestTarget(resource, namespace, name, subresource)


POLICIES = ("Background", "Foreground", "Orphan")
FIELD_VALIDATIONS = ("", "Ignore", "Warn", "Strict")
MAX_MANAGER_LENGTH = 128


def write_options(request: Request) -> WriteOptions:
    """Raises 400 for an unknown dryRun or fieldValidation."""
    query = request.query_params
    validation = query.get("fieldValidation", "")
    if validation not in FIELD_VALIDATIONS:
        raise bad_request(f'fieldValidation: Unsupported value: "{validation}": supported: {FIELD_VALIDATIONS[1:]}')
    program = request.headers.get("user-agent", "unknown").partition("/")[0]
    return WriteOptions(
        dry_run=is_dry_run(query),
        strict=validation == "Strict",
        warn=validation != "Ignore",
        manager=(query.get("fieldManager") or program)[:MAX_MANAGER_LENGTH],
        force=flag(query, "force"),
    )


def is_dry_run(query: Mapping[str, str]) -> bool:
    """Raises 400 for an unknown value."""
    if query.get("dryRun", "") not in ("All", ""):
        raise bad_request(f'dryRun: Unsupported value: {query["dryRun"]!r}: supported values: "All"')
    return query.get("dryRun") == "All"


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
    try:
        if raw.startswith(protobuf.MAGIC):
            return protobuf.read(raw)
        return _parse_yaml(raw) if "yaml" in content_type(request) else _parse_json(raw)
    except protobuf.UnreadableError as error:
        raise StatusError(415, "UnsupportedMediaType", str(error)) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise bad_request(f"the body of the request can't be read: {error}") from error


def _parse_yaml(raw: bytes) -> Any:
    """`kubectl` sends JSON under YAML's name, whose numbers PyYAML does not all know as such (1e-8)."""
    try:
        return _parse_json(raw)
    except ValueError:
        return yaml.load(raw, _PlainLoader)  # noqa: S506 (a SafeLoader)


class _PlainLoader(yaml.SafeLoader):
    """Dates stay text, as in JSON."""


_PlainLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _parse_json(raw: bytes) -> Any:
    return json.loads(raw, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True)
class ResponseFormat:
    """How the client wants objects: as they are, or as a table."""

    as_table: bool
    include: str

    @classmethod
    def of(cls, request: Request) -> "ResponseFormat":
        wanted = request.headers.get("accept", "").split(",")[0].replace(" ", "")
        return cls(";as=Table" in wanted, request.query_params.get("includeObject", "Metadata"))


def delete_options(query: Mapping[str, str], body: Any) -> Json:
    """DeleteOptions of the body, or of the query where the body has none."""
    options: Json = (
        dict(body) if isinstance(body, dict) and body.get("kind", "DeleteOptions") == "DeleteOptions" else {}
    )
    if is_dry_run(query):
        options.setdefault("dryRun", ["All"])
    if "gracePeriodSeconds" in query:
        options.setdefault("gracePeriodSeconds", integer(query, "gracePeriodSeconds"))
    if "propagationPolicy" in query:
        options.setdefault("propagationPolicy", query["propagationPolicy"])
    _check_delete_options(options)
    return options


def _check_delete_options(options: Json) -> None:
    grace, policy = options.get("gracePeriodSeconds"), options.get("propagationPolicy")
    if grace is not None and (not isinstance(grace, int) or grace < 0):
        raise bad_request(f"gracePeriodSeconds: {grace!r} is not a whole number of at least 0")
    if policy not in (None, *POLICIES):
        raise bad_request(f"propagationPolicy: Unsupported value: {policy!r}: supported values: {', '.join(POLICIES)}")
    if not isinstance(options.get("preconditions") or {}, dict):
        raise bad_request("preconditions must be an object")


def flag(query: Mapping[str, str], name: str) -> bool:
    """As Kubernetes reads booleans: `true`, `True`, `1` and everything else but `false` and `0`."""
    return name in query and query[name].lower() not in ("false", "0")


def integer(query: Mapping[str, str], name: str) -> int:
    try:
        return int(query[name])
    except ValueError as error:
        raise bad_request(f"{name}: {query[name]!r} is not a number") from error
