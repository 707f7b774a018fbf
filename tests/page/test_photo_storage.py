"""The photos that the page keeps for a reload: each tab its own, written once."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from support.page_modules import ORIGIN, SECURE_ORIGIN, call, serve

Open = Callable[[], Page]


@pytest.fixture(params=[ORIGIN, SECURE_ORIGIN], ids=["without locks", "with locks"])
def origin(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without history."""
    opened = browser.new_context()
    opened.route("**/*", serve)
    yield opened
    opened.close()


@pytest.fixture
def open_tab(window: BrowserContext, origin: str) -> Open:
    def opened() -> Page:
        page = window.new_page()
        page.goto(f"{origin}/")
        return page

    return opened


_COUNT = """(async () => {
  const { put } = IDBObjectStore.prototype;
  globalThis.writes = 0;
  IDBObjectStore.prototype.put = function (...all) { globalThis.writes += 1; return put.apply(this, all); };
})()"""

_SETTLED = """
  const settled = async () => {
    do await new Promise((done) => setTimeout(done, 20)); while (m.checking.peek() > 0);
    await (await import("/js/photo_store.js")).storePhotos(stored());
  };
  const stored = () => m.photos.peek().flatMap(({ id, file, caption }) =>
    [{ key: Number(id), file }, ...(caption ? [{ key: Number(id) + 1, file: caption }] : [])]);"""
"""Waits until the photos are checked and stored: another round of storing waits for those before."""


def run(page: Page, code: str, *given: object) -> object:
    return call(page, "photos.js", f"(async () => {{ {_SETTLED} {code} }})()", *given)


def add(page: Page, *names: str) -> None:
    code = """
      await m.restorePhotos();
      m.addPhotos(given.map((name) => new File([name], name)));
      await settled();"""
    run(page, code, *names)


def restored(page: Page) -> object:
    """The names of the photos after a reload."""
    page.reload()
    page.evaluate(_COUNT)
    code = """
      await m.restorePhotos();
      await settled();
      return m.photos.peek().map(({ file }) => file.name);"""
    return run(page, code)


def test_two_tabs_keep_their_own_photos(open_tab: Open) -> None:
    one, other = open_tab(), open_tab()
    add(one, "dog.png", "puppy.png")
    add(other, "cat.png")
    run(other, "m.clearPhotos(); await settled();")
    add(other, "tiger.png")

    assert restored(one) == ["dog.png", "puppy.png"]
    assert restored(other) == ["tiger.png"]


def test_reload_writes_nothing_and_a_caption_is_written_alone(open_tab: Open) -> None:
    tab = open_tab()
    add(tab, "dog.png", "puppy.png", "dog.txt")

    assert restored(tab) == ["dog.png", "puppy.png"]
    assert tab.evaluate("writes") == 0
    run(tab, 'm.writeCaption(m.photos.peek()[1].id, "a puppy"); await settled();')
    assert tab.evaluate("writes") == 1
    restored(tab)
    assert run(tab, "return m.photos.peek().map(({ captionText }) => captionText);") == ["dog.txt", "a puppy"]


def test_photo_that_is_removed_while_others_are_brought_back_takes_none_with_it(open_tab: Open) -> None:
    tab = open_tab()
    add(tab, "dog.png", "puppy.png", "cat.png", "dog.txt")
    tab.reload()
    code = """
      const { effect } = await import("/js/ui.js");
      const removed = new Promise((done) => effect(() => {
        const [first] = m.photos.value;
        if (first?.file.name !== "dog.png") return;
        queueMicrotask(() => { m.removePhoto(first.id); done(m.photos.peek().length); });
      }));
      m.restorePhotos();
      const left = await removed;
      await settled();
      return left;"""
    assert run(tab, code) == 0

    assert restored(tab) == ["puppy.png", "cat.png"]
    assert run(tab, "return m.leftovers.peek().length;") == 0


@pytest.mark.parametrize("origin", [SECURE_ORIGIN])
def test_next_tab_takes_over_the_photos_of_a_closed_one(open_tab: Open) -> None:
    open_tab()  # A browser without any tab may end.
    tab = open_tab()
    add(tab, "dog.png")
    tab.close()

    assert restored(open_tab()) == ["dog.png"]


@pytest.mark.parametrize("origin", [SECURE_ORIGIN])
def test_duplicated_tab_leaves_the_photos_to_the_first_one(open_tab: Open) -> None:
    one, other = open_tab(), open_tab()
    add(one, "dog.png")
    kept = one.evaluate("JSON.stringify(sessionStorage)")
    other.evaluate("kept => Object.assign(sessionStorage, JSON.parse(kept))", kept)
    other.reload()
    add(other, "cat.png")

    assert restored(other) == ["cat.png"]
    assert restored(one) == ["dog.png"]
