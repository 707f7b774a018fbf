"""Suggestions for requests that match no endpoint: the methods of the path, or the most similar path.

Called by http/problems.py for 404 and 405. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

MAX_PATH_CHARACTERS = 200
"""Longer paths are not compared, and are truncated in messages."""

MIN_SIMILARITY = 0.75
"""Minimum `difflib` ratio of a suggestion. `/job/x` has 0.92."""

ASSETS = ("/docs/", "/page/")
"""Prefixes of files that the pages load. They are never suggested."""

SLASHES = re.compile(r"/{2,}")


@dataclass(frozen=True)
class Endpoint:
    """A path template with its methods and required parameters."""

    template: str
    """For example `/jobs/{task_id}`."""
    methods: frozenset[str]
    required_query: tuple[str, ...] = ()
    """The required query parameters."""

    @property
    def segments(self) -> list[str]:
        return self.template.split("/")


def endpoints_of(app: FastAPI) -> list[Endpoint]:
    """One endpoint per path of the application, with the methods of all its routes."""
    methods: dict[str, frozenset[str]] = {}
    needed: dict[str, tuple[str, ...]] = {}
    for context in iter_route_contexts(app.routes):
        path = context.path
        if path is not None:
            methods[path] = methods.get(path, frozenset()) | frozenset(context.methods or ())
            if isinstance(context.original_route, APIRoute):
                needed[path] = tuple(_required_query(context.original_route.dependant))
    return [Endpoint(path, methods[path], needed.get(path, ())) for path in methods]


def _required_query(dependant: Dependant) -> Iterator[str]:
    """The required query parameters of an endpoint and its dependencies."""
    yield from (each.alias for each in dependant.query_params if each.field_info.is_required())
    for each in dependant.dependencies:
        yield from _required_query(each)


def allowed_methods(endpoints: Sequence[Endpoint], path: str) -> list[str]:
    """The methods of a path, sorted; none for an unknown path. `path` excludes the root path."""
    return sorted({method for each in endpoints if _filled_in(each, path) == path for method in each.methods})


def suggest(endpoints: Sequence[Endpoint], path: str) -> str | None:
    """The path that an unknown path probably means, such as `/jobs/{task_id}`; None without a similar one.

    Corrects extra slashes and upper case, and moves a value after an endpoint into its only required parameter.
    Otherwise compares the path with all templates. `path` excludes the root path.
    """
    if len(path) > MAX_PATH_CHARACTERS:
        return None
    candidates = sorted(
        (each for each in endpoints if not each.template.startswith(ASSETS)),
        key=lambda each: each.template.count("{"),
    )
    return _corrected(candidates, path) or _with_query(candidates, path) or _most_similar(candidates, path)


def shown(path: str) -> str:
    """A path for messages: percent-encoded and truncated."""
    encoded = quote(path, safe="/{}:@!$&'()*+,;=~")
    return encoded if len(encoded) <= MAX_PATH_CHARACTERS else encoded[:MAX_PATH_CHARACTERS] + "..."


def _filled_in(endpoint: Endpoint, path: str) -> str | None:
    """`path` in the endpoint's spelling, with its parameter values; None when it does not match."""
    segments, template = path.split("/"), endpoint.segments
    if len(segments) != len(template):
        return None
    spelled = []
    for given, own in zip(segments, template, strict=True):
        if own.startswith("{"):
            if not given:
                return None
            spelled.append(given)
        elif given.casefold() == own.casefold():
            spelled.append(own)
        else:
            return None
    return "/".join(spelled)


def _corrected(endpoints: Sequence[Endpoint], path: str) -> str | None:
    without_slashes = SLASHES.sub("/", path).rstrip("/") or "/"
    found = (_filled_in(each, without_slashes) for each in endpoints)
    return next((shown(each) for each in found if each is not None and each != path), None)


def _with_query(endpoints: Sequence[Endpoint], path: str) -> str | None:
    """`/images/abc` as `/images?task_id=abc`."""
    start, _, value = path.rstrip("/").rpartition("/")
    for each in endpoints:
        if value and "GET" in each.methods and len(each.required_query) == 1 and _filled_in(each, start) is not None:
            return f"{each.template}?{each.required_query[0]}={quote(value, safe='')}"
    return None


def _most_similar(endpoints: Sequence[Endpoint], path: str) -> str | None:
    best = max(endpoints, key=lambda each: _similarity(each, path), default=None)
    return best.template if best is not None and _similarity(best, path) >= MIN_SIMILARITY else None


def _similarity(endpoint: Endpoint, path: str) -> float:
    """From 0 to 1. A parameter and its value count as one character, because any value matches."""
    template, given = endpoint.segments, path.casefold().split("/")
    for index, own in enumerate(template):
        if own.startswith("{"):
            template[index] = "*"
            if index < len(given) and given[index]:
                given[index] = "*"
    return SequenceMatcher(None, "/".join(given), "/".join(template)).ratio()
