"""What the page keeps between views, reloads and tabs, and where the keyboard's focus is after a change."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import WAIT_MS, drop
from support.darkroom_up import PHOTOS
from support.page_app import App, picture_job
from support.page_checks import press


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(locale="en-US", reduced_motion="reduce")
    page.set_default_timeout(WAIT_MS)
    yield page
    page.close()


@pytest.fixture
def app(window: Page) -> Iterator[App]:
    """Thirty pictures, on a desktop."""
    window.set_viewport_size({"width": 1280, "height": 720})
    yield App(window, [picture_job(number) for number in range(30)])
    window.evaluate("localStorage.clear(); sessionStorage.clear()")
    window.goto("about:blank")
    window.unroute_all()


def wait_for_top(page: Page, px: int) -> None:
    page.wait_for_function("px => scrollY === px", arg=px)


def test_back_button_closes_an_opened_picture(app: App) -> None:
    app.open("queue")
    app.page.get_by_role("navigation").get_by_role("link", name="Gallery").click()
    app.page.get_by_role("button", name="Open: star 0,").click()
    expect(app.page.get_by_role("dialog")).to_be_visible()
    app.page.go_back()
    expect(app.page.get_by_role("heading", name="Queue")).to_be_visible()
    expect(app.page.get_by_role("dialog")).to_be_hidden()


def test_gallery_is_where_it_was_left_after_the_back_button(app: App) -> None:
    app.open("gallery")
    with app.page.expect_response(re.compile("q=star")):
        app.page.get_by_label("Search the prompts").fill("star")
    last = app.page.get_by_role("button", name="Open: star 29,")
    last.focus()
    left = app.page.evaluate("scrollY")
    assert left > 0
    press(app.page, "Enter")
    app.page.get_by_role("dialog").get_by_role("link", name="Details").click()
    expect(app.page.get_by_role("region", name="Details")).to_be_visible()
    wait_for_top(app.page, 0)
    app.page.go_back()
    expect(last).to_be_visible()
    expect(app.page.get_by_label("Search the prompts")).to_have_value("star")
    wait_for_top(app.page, left)


def test_focus_is_on_the_next_picture_after_one_was_deleted(app: App) -> None:
    app.open("gallery")
    app.page.get_by_role("button", name="Delete: star 3,").focus()
    press(app.page, "Enter")
    app.page.get_by_role("dialog").get_by_role("button", name="Delete").focus()
    press(app.page, "Enter")
    expect(app.page.get_by_role("button", name="Delete: star 4,")).to_be_focused()
    expect(app.page.get_by_role("button", name="Delete: star 3,")).to_have_count(0)


def test_forgotten_key_takes_the_pictures_with_it(app: App) -> None:
    app.keys = {"secret-key"}
    app.open("gallery")
    dialog = app.page.get_by_role("dialog", name="API key")
    expect(dialog).to_contain_text("This gateway is protected")
    dialog.get_by_label("API key").fill("secret-key")
    press(app.page, "Enter")
    expect(app.page.get_by_role("button", name="Open: star 0,")).to_be_visible()

    app.keys = {"another-key"}
    app.page.reload()
    expect(dialog).to_contain_text("no longer accepts the one in this browser")
    press(app.page, "Escape")
    expect(app.page.get_by_role("alert").filter(has_text="no longer accepts your API key")).to_be_visible()
    app.keys = {"secret-key"}
    app.page.get_by_role("button", name="Enter the key").click()
    dialog.get_by_label("API key").fill("secret-key")
    press(app.page, "Enter")
    expect(app.page.get_by_role("button", name="Open: star 0,")).to_be_visible()

    app.page.get_by_role("navigation").get_by_role("link", name="Settings").click()
    app.page.get_by_role("button", name="Forget it").click()
    expect(dialog).to_contain_text("This gateway is protected")
    press(app.page, "Escape")
    app.page.get_by_role("navigation").get_by_role("link", name="Queue").click()
    expect(app.page.get_by_role("link", name="star 0")).to_have_count(0)


def test_closed_question_for_the_key_stays_closed_when_another_request_is_refused(app: App) -> None:
    app.keys = {"secret-key"}
    app.holds_lists = True
    app.open("gallery")
    dialog = app.page.get_by_role("dialog", name="API key")
    expect(dialog).to_contain_text("This gateway is protected")
    press(app.page, "Escape")
    expect(dialog).to_be_hidden()
    held = len(app.held)
    with app.page.expect_response(re.compile(r"/v1/jobs\?")):
        app.release()
    assert held
    expect(app.page.get_by_role("button", name="Try again")).to_be_visible()
    expect(dialog).to_be_hidden()

    app.page.get_by_role("button", name="Enter the key").click()
    expect(dialog).to_be_visible()


def test_dropped_start_picture_is_kept_in_other_views_and_after_a_reload(app: App) -> None:
    app.open("generate")
    drop(app.page.get_by_text("Optional: drop or paste one"), PHOTOS[:1])
    start = app.page.get_by_role("group", name="Start picture", exact=True)
    expect(start).to_contain_text(PHOTOS[0].name)
    app.page.get_by_role("navigation").get_by_role("link", name="Queue").click()
    app.page.get_by_role("navigation").get_by_role("link", name="Generate").click()
    expect(start).to_contain_text(PHOTOS[0].name)
    app.page.wait_for_function(
        "import('/page/js/photo_store.js').then(m => m.storedStart()).then(s => s.image !== null)"
    )
    app.page.reload()
    expect(start).to_contain_text(PHOTOS[0].name)
    start.get_by_role("button", name="Remove the start picture").click()
    expect(start).to_contain_text("Optional: drop or paste one")


def test_phone_shows_the_result_first(app: App) -> None:
    app.page.set_viewport_size({"width": 390, "height": 780})
    app.open("generate/generate-001")
    expect(app.page.get_by_role("button", name="Open the picture with seed 1")).to_be_in_viewport()


def test_address_of_jobs_shows_their_list(app: App) -> None:
    app.open("jobs")
    expect(app.page.get_by_role("heading", name="Queue")).to_be_visible()


def test_picture_that_can_not_be_loaded_says_so(app: App) -> None:
    app.jobs[0]["artifacts"][0]["url"] = "/lost"
    app.open("gallery")
    tile = app.page.get_by_role("button", name="Open: star 0,")
    expect(tile.locator("img")).to_have_class(re.compile("missing"))
    assert "be loaded" in tile.evaluate("tile => getComputedStyle(tile, '::after').content")
    expect(app.page.get_by_role("button", name="Open: star 1,").locator("img")).not_to_have_class(re.compile("missing"))


def test_theme_that_another_tab_chooses_is_shown(app: App) -> None:
    app.open("settings")
    expect(app.page.get_by_role("heading", name="Settings")).to_be_visible()
    event = "new StorageEvent('storage', { key: 'darkroom.theme', newValue: 'dark' })"
    app.page.evaluate(f"dispatchEvent({event})")
    expect(app.page.get_by_role("radio", name="Dark")).to_be_checked()
    assert app.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_same_message_is_shown_once(app: App) -> None:
    app.open("settings")
    app.page.evaluate("import('/page/js/components/toasts.js').then(m => { m.say('Copied.'); m.say('Copied.'); })")
    expect(app.page.get_by_text("Copied.")).to_have_count(1)


def test_lost_connection_is_in_view_at_the_end_of_a_long_page(app: App) -> None:
    app.is_lost = True
    app.page.set_viewport_size({"width": 390, "height": 500})
    app.open("train")
    lost = app.page.get_by_role("alert").filter(has_text="Connection lost")
    expect(lost).to_be_visible()
    app.page.get_by_role("button", name="Start the training").scroll_into_view_if_needed()
    expect(lost).to_be_in_viewport()
