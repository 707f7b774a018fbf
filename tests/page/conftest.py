"""One local cluster and one browser for all tests of the page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from support.browser import MISSING, WAIT_MS, chromium, find_chromium, is_required
from support.darkroom_up import Darkroom
from support.page_modules import ORIGIN, serve
from support.warm_parent.installation import WarmParent


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        if is_required():
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    expect.set_options(timeout=WAIT_MS)
    with chromium(path) as started:
        yield started


@pytest.fixture(scope="package")
def darkroom(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, warm_cluster: WarmParent
) -> Iterator[Darkroom]:
    """Starts only where there is a browser. A test leaves its jobs finished or deleted."""
    shared = Darkroom(tmp_path_factory.mktemp("page"), warm_cluster.python, program=warm_cluster.darkroom)
    shared.start()
    yield shared
    shared.close()


@pytest.fixture
def context(browser: Browser, darkroom: Darkroom) -> Iterator[BrowserContext]:
    """A browser without history, for the page of the cluster."""
    opened = browser.new_context(base_url=darkroom.url, locale="en-US")
    opened.set_default_timeout(WAIT_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Nothing may go wrong in it: no exception, no refused script or style."""
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on(
        "console", lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None
    )
    yield opened
    assert faults == []


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    """An empty page that may import the modules."""
    page = browser.new_page()
    page.route(f"{ORIGIN}/**", serve)
    page.goto(f"{ORIGIN}/")
    yield page
    page.close()


SHEETS = ("base", "shell", "controls", "fields", "pictures", "views")


@pytest.fixture
def styled(modules: Page) -> Iterator[Page]:
    """The empty page with the style sheets."""
    for name in SHEETS:
        modules.add_style_tag(url=f"/css/{name}.css")
    yield modules
    modules.evaluate("""async () => {
      const { render } = await import("/js/ui.js");
      render(null, document.body);
      document.head.replaceChildren();
    }""")
    modules.set_viewport_size({"width": 1280, "height": 720})
