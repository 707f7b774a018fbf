"""The page of a gateway with API keys, in a browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.browser import MISSING, chromium, find_chromium


@pytest.fixture
def page(secured: Any) -> Iterator[Page]:
    """Of a browser without history."""
    path = find_chromium()
    if path is None:
        pytest.skip(MISSING)
    with chromium(path) as browser:
        opened = browser.new_page(base_url=str(secured.http.base_url), locale="en-US")
        opened.set_default_timeout(60_000)
        yield opened


def test_page_asks_for_the_key_and_sends_it_in_a_header_only(page: Page, secured: Any) -> None:
    expect.set_options(timeout=60_000)
    key = secured.secrets["alice"]
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto("/")
    asked = page.get_by_role("dialog", name="API key")
    asked.get_by_label("API key").fill("not the key")
    asked.get_by_role("button", name="Use this key").click()
    expect(asked).to_contain_text("does not know this key")

    asked.get_by_label("API key").fill(key)
    asked.get_by_role("button", name="Use this key").click()
    expect(asked).to_be_hidden()
    page.goto("/#/queue")
    # Other tests of this gateway may have left jobs.
    queue = page.get_by_text("Nothing runs, and nothing waits.").or_(page.get_by_role("region", name="Waiting"))
    expect(queue).to_be_visible()

    page.reload()
    expect(queue).to_be_visible()
    expect(asked).to_be_hidden()
    assert [each for each in addresses if key in each] == []
    assert page.context.cookies() == []
