"""What is measured of a page in the browser: barriers, width, bytes; and its use by keyboard."""

from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

GRAVE = ("serious", "critical")


def barriers(page: Page) -> list[str]:
    """What axe-core finds that keeps people from using the page: the rule, and where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {node['html']} {node['any'][:1]}"
        for each in found
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


def widest_px(page: Page) -> int:
    """The width of the document's content, which scrolls sideways where it is wider than the window."""
    width: int = page.evaluate("() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
    return width


def press(page: Page, key: str) -> None:
    page.keyboard.press(key)


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(80):
        if target.evaluate("element => element.contains(document.activeElement)"):
            return
        press(page, "Tab")
    raise AssertionError(f"the Tab key does not reach {target}")


class Traffic:
    """The bytes of the page's own files over the wire, with their headers, from now on. Without answers of the API."""

    def __init__(self, page: Page) -> None:
        self.bytes_by_path: dict[str, int] = {}
        self._paths: dict[str, str] = {}
        self._cached: set[str] = set()
        session = page.context.new_cdp_session(page)
        session.on("Network.requestServedFromCache", lambda event: self._cached.add(event["requestId"]))
        session.on("Network.responseReceived", self._begin)
        session.on("Network.loadingFinished", self._end)
        session.send("Network.enable")

    def _begin(self, event: dict[str, Any]) -> None:
        path, request = urlsplit(event["response"]["url"]).path, event["requestId"]
        is_cached = request in self._cached or event["response"]["fromDiskCache"]
        if (path == "/" or path.startswith("/page/")) and not is_cached:
            self._paths[request] = path

    def _end(self, event: dict[str, Any]) -> None:
        path = self._paths.get(event["requestId"])
        if path is not None:
            self.bytes_by_path[path] = self.bytes_by_path.get(path, 0) + int(event["encodedDataLength"])
