"""Parses requests: the target of the path, write and delete options, and the format of the response. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from darkroom_local.apiserver.apimachinery.api_paths import boolean_parameter, parse_api_path
from darkroom_local.apiserver.apimachinery.errors import bad_request, no_such_path
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.registry.request import RequestTarget, WriteOptions
from darkroom_local.apiserver.resources.registry import Registry

POLICIES = ("Background", "Foreground", "Orphan")
FIELD_VALIDATIONS = ("", "Ignore", "Warn", "Strict")
MAX_MANAGER_LENGTH = 128


def find_target(registry: Registry, path: str) -> RequestTarget:
    """The resource, object and subresource of a path. Raises 404."""
    api_path = parse_api_path(path)
    if api_path is None or len(api_path.parts) > 3:
        raise no_such_path()
    plural, name, subresource = [*api_path.parts, "", ""][:3]
    namespace, resource = api_path.namespace, registry.find(api_path.group, api_path.version, plural)
    if resource is None or (namespace and not resource.namespaced):
        raise no_such_path()
    if (subresource and subresource not in resource.subresources) or (name and resource.namespaced and not namespace):
        raise no_such_path()
    return RequestTarget(resource, namespace, name, subresource)


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
        force=boolean_parameter(query, "force"),
    )


def is_dry_run(query: Mapping[str, str]) -> bool:
    """Raises 400 for an unknown value."""
    if query.get("dryRun", "") not in ("All", ""):
        raise bad_request(f'dryRun: Unsupported value: {query["dryRun"]!r}: supported values: "All"')
    return query.get("dryRun") == "All"


@dataclass(frozen=True)
class ResponseFormat:
    """The format that the client accepts: objects, or a table."""

    as_table: bool
    include: str
    """What each row of a table contains: Object, Metadata or None."""

    @classmethod
    def of(cls, request: Request) -> "ResponseFormat":
        accepted = request.headers.get("accept", "").split(",")[0].replace(" ", "")
        return cls(";as=Table" in accepted, request.query_params.get("includeObject", "Metadata"))


def delete_options(query: Mapping[str, str], body: Any) -> Json:
    """The body's DeleteOptions; the query sets what the body leaves out. Raises 400."""
    options: Json = (
        dict(body) if isinstance(body, dict) and body.get("kind", "DeleteOptions") == "DeleteOptions" else {}
    )
    if is_dry_run(query):
        options.setdefault("dryRun", ["All"])
    if "gracePeriodSeconds" in query:
        options.setdefault("gracePeriodSeconds", _integer(query, "gracePeriodSeconds"))
    if "propagationPolicy" in query:
        options.setdefault("propagationPolicy", query["propagationPolicy"])
    _check_delete_options(options)
    return options


def _check_delete_options(options: Json) -> None:
    grace, policy = options.get("gracePeriodSeconds"), options.get("propagationPolicy")
    if grace is not None and (not isinstance(grace, int) or grace < 0):
        raise bad_request(f"gracePeriodSeconds: {grace!r} is not a non-negative integer")
    if policy not in (None, *POLICIES):
        raise bad_request(f"propagationPolicy: Unsupported value: {policy!r}: supported values: {', '.join(POLICIES)}")
    if not isinstance(options.get("preconditions") or {}, dict):
        raise bad_request("preconditions must be an object")


def integer_parameter(query: Mapping[str, str], name: str, default: int = 0) -> int:
    """Raises 400 for anything except an integer; the default stands for a missing or empty parameter."""
    return _integer(query, name) if query.get(name) else default


def _integer(query: Mapping[str, str], name: str) -> int:
    try:
        return int(query[name])
    except ValueError as error:
        raise bad_request(f"{name}: {query[name]!r} is not a number") from error
