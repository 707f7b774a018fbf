"""Serves the modules of the page to a browser without a gateway, and calls them.

The usual origin is plain http, so no secure context: what browsers offer only there would be missing.
"""

import mimetypes
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, Route

STATIC = resources.files("darkroom_gateway.page") / "static"
ORIGIN = "http://page.test"
SECURE_ORIGIN = "http://localhost"
"""Browsers treat it as a secure context, as they do https."""


def serve(route: Route) -> None:
    name = urlsplit(route.request.url).path.removeprefix("/")
    if not name:
        route.fulfill(body="<!doctype html><title>Modules</title>", content_type="text/html")
        return
    route.fulfill(body=(STATIC / name).read_bytes(), content_type=mimetypes.guess_type(name)[0] or "text/plain")


def call(modules: Page, module: str, expression: str, *given: object) -> Any:
    """Evaluate an expression with the exports of a module as `m`, and the given values as `given`."""
    code = f"async (given) => {{ const m = await import('/js/{module}'); return {expression}; }}"
    return modules.evaluate(code, list(given))
