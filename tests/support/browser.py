"""Chromium for the tests and screenshots of the page: found on the machine, driven by Playwright.

Playwright's own browsers are not used: they are downloaded from a host that is no package index.
"""

import base64
import contextlib
import mimetypes
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

MISSING = f"the tests of the page need Chromium: install one of {', '.join(NAMES)}, or name it in CHROMIUM"

FLAGS = (
    "--disable-gpu",
    "--disable-sync",
    "--no-proxy-server",
    # The clip starts by itself.
    "--autoplay-policy=no-user-gesture-required",
)
"""Besides Playwright's own, which turn off updates, first-run pages and the sandbox, which root can't use."""

WAIT_MS = 300_000
"""Only a failing test waits that long: the machine may be busy, and a job may have to wait for another."""

_DROP = """(element, files) => {
  const transfer = new DataTransfer();
  for (const { name, type, content } of files) {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  for (const name of ["dragenter", "dragover", "drop"]) {
    element.dispatchEvent(new DragEvent(name, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


def is_required() -> bool:
    """Whether tests fail without Chromium, as in CI, instead of being skipped."""
    return os.environ.get("DARKROOM_BROWSER") == "required"


def find_chromium() -> str | None:
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


@contextlib.contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=WAIT_MS)
        yield browser
        browser.close()


def drop(target: Locator, files: Iterable[Path]) -> None:
    """Drop files onto an element, as from a file manager."""
    dropped = [
        {
            "name": each.name,
            "type": mimetypes.guess_type(each.name)[0] or "",
            "content": base64.b64encode(each.read_bytes()).decode(),
        }
        for each in files
    ]
    target.evaluate(_DROP, dropped)
