"""Directions for requests that match no endpoint: the methods of a path, and the path nearest to a wrong one.

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
"""Longer paths are neither compared nor repeated in full."""

LEAST_LIKENESS = 0.75
"""Of a path and an endpoint's, by `difflib`: below it a suggestion would be a guess. `/job/x` has 0.92."""

ASSETS = "/docs/"
"""So begin the paths of files that a page loads; nobody means one of them."""

SLASHES = re.compile(r"/{2,}")


@dataclass(frozen=True)
class Endpoint:
    """One path, as its template says it, with everything that it takes."""

    template: str
    """Such as `/jobs/{task_id}`."""
    methods: frozenset[str]
    needed_query: tuple[str, ...] = ()
    """The query parameters without which it answers 422."""

    @property
    def segments(self) -> list[str]:
        return self.template.split("/")


def endpoints_of(app: FastAPI) -> list[Endpoint]:
    """One for each path of the application; several routes of one path are one endpoint."""
    methods: dict[str, frozenset[str]] = {}
    needed: dict[str, tuple[str, ...]] = {}
    for context in iter_route_contexts(app.routes):
        path = context.path
        if path is not None:
            methods[path] = methods.get(path, frozenset()) | frozenset(context.methods or ())
            if isinstance(context.original_route, APIRoute):
                needed[path] = tuple(_needed_query(context.original_route.dependant))
    return [Endpoint(path, methods[path], needed.get(path, ())) for path in methods]


def _needed_query(dependant: Dependant) -> Iterator[str]:
    """Of an endpoint and all that it depends on."""
    yield from (each.alias for each in dependant.query_params if each.field_info.is_required())
    for each in dependant.dependencies:
        yield from _needed_query(each)


def allowed_methods(endpoints: Sequence[Endpoint], path: str) -> list[str]:
    """The methods that a path takes, sorted; none when it is no endpoint's. `path` is without the root path."""
    return sorted({method for each in endpoints if _filled_in(each, path) == path for method in each.methods})


def nearest(endpoints: Sequence[Endpoint], path: str) -> str | None:
    """What was probably meant by a path that is no endpoint's, such as `/jobs/{task_id}`; None without a good guess.

    A path with a slash too much or in another case is corrected; a task id behind an endpoint that takes it as a
    parameter is moved there; anything else is compared with the templates. `path` is without the root path.
    """
    if len(path) > MAX_PATH_CHARACTERS:
        return None
    candidates = sorted(
        (each for each in endpoints if not each.template.startswith(ASSETS)),
        key=lambda each: each.template.count("{"),
    )
    return _corrected(candidates, path) or _with_query(candidates, path) or _most_alike(candidates, path)


def shown(path: str) -> str:
    """A path as it is repeated to people: percent-encoded, and not at any length."""
    encoded = quote(path, safe="/{}:@!$&'()*+,;=~")
    return encoded if len(encoded) <= MAX_PATH_CHARACTERS else encoded[:MAX_PATH_CHARACTERS] + "..."


def _filled_in(endpoint: Endpoint, path: str) -> str | None:
    """`path` in the endpoint's own spelling, with the values of its parameters; None when it is another path."""
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
        if value and "GET" in each.methods and len(each.needed_query) == 1 and _filled_in(each, start) is not None:
            return f"{each.template}?{each.needed_query[0]}={quote(value, safe='')}"
    return None


def _most_alike(endpoints: Sequence[Endpoint], path: str) -> str | None:
    best = max(endpoints, key=lambda each: _likeness(each, path), default=None)
    return best.template if best is not None and _likeness(best, path) >= LEAST_LIKENESS else None


def _likeness(endpoint: Endpoint, path: str) -> float:
    """From 0 to 1. What stands in the place of a parameter counts for one character: any value fits there."""
    template, given = endpoint.segments, path.casefold().split("/")
    for index, own in enumerate(template):
        if own.startswith("{"):
            template[index] = "*"
            if index < len(given) and given[index]:
                given[index] = "*"
    return SequenceMatcher(None, "/".join(given), "/".join(template)).ratio()
