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
  IDBObjectStore.prototype.put = function (...all) {
    if (this.name === "photos") globalThis.writes += 1;
    return put.apply(this, all);
  };
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


_STORED = """(async () => {
  const database = await new Promise((done) => {
    const request = indexedDB.open("darkroom");
    request.onsuccess = () => done(request.result);
  });
  const files = database.transaction("photos").objectStore("photos").getAll();
  await new Promise((done) => { files.onsuccess = done; });
  database.close();
  return files.result.map((file) => file.name).sort();
})()"""


def stored(page: Page) -> object:
    """The names of the photos of all tabs."""
    return page.evaluate(_STORED)


def later(page: Page, hours: int) -> None:
    page.evaluate("hours => { const now = Date.now; Date.now = () => now() + hours * 3_600_000; }", hours)


@pytest.mark.parametrize("origin", [ORIGIN])
@pytest.mark.parametrize(("hours", "kept"), [(23, ["dog.png", "tiger.png"]), (25, ["tiger.png"])])
def test_photos_of_a_tab_that_nobody_takes_over_are_deleted_after_a_day(
    open_tab: Open, hours: int, kept: list[str]
) -> None:
    tab, following = open_tab(), open_tab()
    add(tab, "dog.png")
    tab.close()

    later(following, hours)
    add(following, "tiger.png")
    assert stored(following) == kept


def test_tab_that_is_open_for_more_than_a_day_keeps_its_photos(open_tab: Open) -> None:
    tab, following = open_tab(), open_tab()
    tab.clock.install()  # Of all tabs.
    add(tab, "dog.png")
    tab.clock.fast_forward("25:00:00")
    assert stored(tab) == ["dog.png"]

    add(following, "tiger.png")
    assert stored(following) == ["dog.png", "tiger.png"]


_EARLIER = """async () => {
  globalThis.earlier = await new Promise((done) => {
    const request = indexedDB.open("darkroom", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("photos").put(new File(["old"], "old.png"), 3);
    request.onsuccess = () => done(request.result);
  });
}"""


def test_photos_of_an_earlier_version_of_the_page_are_deleted(open_tab: Open) -> None:
    tab = open_tab()
    tab.evaluate(_EARLIER)
    tab.evaluate("earlier.close()")
    add(tab, "dog.png")
    assert stored(tab) == ["dog.png"]


_TOAST = """
  const { html, render } = await import("/js/ui.js");
  const { Toasts } = await import("/js/components/toasts.js");
  render(html`<${Toasts} />`, document.body);
  const said = [...document.querySelectorAll(".toast span")].map(({ textContent }) => textContent);
  return [m.photos.peek().length, ...said];"""


def test_page_says_once_that_the_browser_has_no_space_for_photos_and_tries_again(open_tab: Open) -> None:
    tab = open_tab()
    tab.evaluate("""() => {
      const { put } = IDBObjectStore.prototype;
      globalThis.makeRoom = () => { IDBObjectStore.prototype.put = put; };
      IDBObjectStore.prototype.put = function () { throw new DOMException("Full.", "QuotaExceededError"); };
    }""")
    add(tab, "dog.png", "cat.png")
    count, *said = run(tab, _TOAST)  # type: ignore[misc]
    assert count == 2
    assert [each[:70] for each in said] == ["A reload of this page would lose the photos: the browser has no space "]

    run(tab, "makeRoom(); await settled();")
    assert restored(tab) == ["dog.png", "cat.png"]


def test_photos_can_be_added_while_an_earlier_version_of_the_page_is_open(open_tab: Open) -> None:
    earlier, tab = open_tab(), open_tab()
    earlier.evaluate(_EARLIER)
    add(tab, "dog.png")
    count, *said = run(tab, _TOAST)  # type: ignore[misc]
    assert (count, len(said)) == (1, 1)
