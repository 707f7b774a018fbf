"""The whole page in a browser, with a gateway made of answers: for what it does between views, without a cluster."""

import base64
import json
import mimetypes
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route

from support.page_modules import SECURE_ORIGIN, STATIC

LATER = "2099-01-01T00:00:00Z"
PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==")


def picture_job(number: int, **changes: Any) -> dict[str, Any]:
    """A generation that has made one picture. A lower number is newer."""
    name = f"generate-{number:03}"
    artifact = {"name": f"{name}.png", "role": "image", "seed": number, "step": None, "bytes": 9, "sha256": name}
    artifact |= {"content_type": "image/gif", "uri": f"s3://d/{name}", "url": f"/picture/{name}", "expires": LATER}
    job = {"id": name, "kind": "GenerateJob", "status": "Succeeded", "model_id": None, "prompt": f"star {number}"}
    job |= {"priority": 0, "submitted_by": None, "spec": {"images": {"count": 1, "seed": number}}, "queue": None}
    job |= {"progress": None, "error": None, "remarks": [], "artifacts": [artifact], "attempts": 1, "deleting": False}
    job |= {"created": f"2026-11-29T12:00:{59 - number:02}Z", "started": None, "completed": None, "next_attempt": None}
    return job | changes


class App:
    """A page whose gateway knows these jobs. `keys`: those that it accepts; empty: it needs none.

    While `holds_lists`, requests for lists of jobs wait in `held`, for `release`.
    """

    def __init__(self, page: Page, jobs: list[dict[str, Any]]) -> None:
        self.page = page
        self.jobs = jobs
        self.keys: set[str] = set()
        self.is_lost = False
        self.holds_lists = False
        self.held: list[Route] = []
        page.route(f"{SECURE_ORIGIN}/**", self._answer)

    def open(self, view: str) -> None:
        self.page.goto(f"{SECURE_ORIGIN}/#/{view}")

    def release(self) -> None:
        """Answer the requests that wait, and no longer hold others."""
        self.holds_lists = False
        held, self.held = self.held, []
        for route in held:
            self._answer(route)

    def _answer(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        if self.holds_lists and url.path == "/v1/jobs":
            self.held.append(route)
            return
        if not url.path.startswith("/v1/"):
            _send_file(route, url.path)
        elif self.is_lost:
            route.abort()
        elif self.keys and route.request.headers.get("authorization", "").removeprefix("Bearer ") not in self.keys:
            route.fulfill(status=401, body="{}")
        elif not url.path.endswith("/events"):  # A stream without an event stays open.
            self._call(route, url.path.removeprefix("/v1/"), parse_qs(url.query))

    def _call(self, route: Route, path: str, query: dict[str, list[str]]) -> None:
        name = path.removeprefix("jobs/")
        if path == "models":
            route.fulfill(json={"models": [], "base_models": []})
        elif path == "jobs":
            statuses = query.get("status", ["Succeeded"])
            jobs = [each for each in self.jobs if each["status"] in statuses]
            route.fulfill(json={"jobs": jobs, "total": len(jobs), "next_cursor": None})
        elif route.request.method == "DELETE":
            self.jobs = [each for each in self.jobs if each["id"] != name]
            route.fulfill(status=204)
        else:
            found = [each for each in self.jobs if each["id"] == name]
            route.fulfill(status=200 if found else 404, body=json.dumps(found[0] if found else {}))


def _send_file(route: Route, path: str) -> None:
    if path.startswith("/picture/"):
        route.fulfill(body=PIXEL, content_type="image/gif")
        return
    name = path.removeprefix("/page/") if path != "/" else "index.html"
    known = (STATIC / name).is_file()
    content = (STATIC / name).read_bytes() if known else b""
    route.fulfill(
        status=200 if known else 404, body=content, content_type=mimetypes.guess_type(name)[0] or "text/plain"
    )
