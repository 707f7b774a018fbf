"""Reads request bodies: JSON, YAML, or the protobuf of `kubectl create`."""

import json
from typing import Any

import yaml
from starlette.requests import Request

from darkroom_local.apiserver.apimachinery.errors import StatusError, bad_request
from darkroom_local.apiserver.http import protobuf

MAX_BODY_BYTES = 3 * 1024 * 1024
"""The limit of the real API server."""


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request) -> Any:
    """The parsed body, or None if it is empty. Raises 400, 413 or 415."""
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
        raise bad_request(f"cannot parse the request body: {error}") from error


def _parse_yaml(raw: bytes) -> Any:
    """`kubectl` sends JSON as YAML, with numbers that PyYAML would parse as strings (1e-8)."""
    try:
        return _parse_json(raw)
    except ValueError:
        return yaml.load(raw, _PlainLoader)  # noqa: S506 (a SafeLoader)


class _PlainLoader(yaml.SafeLoader):
    """Dates stay strings, as in JSON."""


_PlainLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _parse_json(raw: bytes) -> Any:
    return json.loads(raw, parse_constant=_reject_constant)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
