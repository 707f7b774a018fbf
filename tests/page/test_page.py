"""The page in a browser, against a running cluster: from photos to a model, pictures and a clip."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from support.browser import WAIT_MS, drop
from support.darkroom_up import PHOTOS, Darkroom, wait_for
from support.page_checks import Traffic, barriers, press, tab_to, widest_px

MODEL = "page-star"
PROMPT = "a photo of sks star"

DONE, RUNNING, SUSPENDED = "Done", "Running", "Suspended"


def status(page: Page) -> Locator:
    """What the job's page says of its state."""
    return page.get_by_role("region", name="Status")


def loss_curve(page: Page) -> Locator:
    return page.get_by_role("img", name=re.compile(r"Loss curve: [\d.]+ after"))


def reports(page: Page) -> int:
    """How many losses the curve has."""
    name = loss_curve(page).get_attribute("aria-label") or ""
    return int(re.search(r"after (\d+)", name)[1])  # type: ignore[index]


def is_drawn(picture: Locator) -> None:
    """Wait until the browser has loaded and decoded a picture."""
    expect(picture).to_be_visible()
    handle = picture.element_handle()
    assert handle is not None
    picture.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=handle)


@pytest.fixture(scope="module")
def trained(browser: Browser, darkroom: Darkroom) -> Iterator[Page]:
    """The page of a training that was started by dropping photos, and has ended."""
    page = browser.new_page(base_url=darkroom.url)
    page.set_default_timeout(WAIT_MS)
    page.goto("/")
    drop(page.get_by_text("Drop photos here"), PHOTOS)
    expect(page.get_by_role("listitem").get_by_role("img", name=re.compile("photo-"))).to_have_count(len(PHOTOS))
    page.get_by_label("Name of the model").fill(MODEL)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_label("Steps").fill("6")
    page.get_by_role("button", name="Start the training").click()
    expect(page.get_by_role("heading", name=MODEL)).to_be_visible()
    expect(status(page)).to_contain_text(DONE)
    yield page
    page.close()


def test_dropped_photos_become_a_model_with_samples_and_a_loss_curve(trained: Page) -> None:
    samples = trained.get_by_role("region", name="Samples").get_by_role("img")

    is_drawn(samples.first)
    expect(loss_curve(trained)).to_be_visible()
    files = trained.get_by_role("region", name="Files").get_by_role("listitem")
    expect(files.filter(has_text="pytorch_lora_weights.safetensors")).to_contain_text("For diffusers and peft")
    expect(files.filter(has_text=f"{MODEL}.safetensors")).to_contain_text("ComfyUI")


def test_bad_photo_is_named_before_anything_is_sent(page: Page, tmp_path: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    (tmp_path / "notes.jpg").write_text("not a photo")
    page.goto("/#/train")
    drop(page.get_by_text("Drop photos here"), [*PHOTOS[:2], tmp_path / "notes.jpg"])

    photos = page.get_by_role("region", name="Photos")
    expect(photos.get_by_role("listitem").filter(has_text="notes.jpg")).to_contain_text("Not a photo")
    expect(photos.get_by_role("status")).to_have_text(re.compile("3 photos.*1 can't be used"))
    page.get_by_role("button", name="Remove the marked").click()
    expect(photos.get_by_role("status")).to_have_text("2 photos")
    assert sent == []


def test_captions_and_errors_follow_what_is_typed(page: Page) -> None:
    page.goto("/#/train")
    drop(page.get_by_text("Drop photos here"), PHOTOS[:2])
    photos = page.get_by_role("region", name="Photos")
    photos.get_by_role("button", name=f"Caption of {PHOTOS[0].name}").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(PHOTOS[0].name).fill("a red star")
    press(page, "Control+Enter")
    dialog.get_by_label(PHOTOS[1].name).fill("a blue star")
    press(page, "Control+Enter")
    expect(dialog).to_be_hidden()
    page.reload()
    captions = photos.get_by_role("button", name=re.compile("Caption of"))
    expect(captions).to_have_text(["a red star", "a blue star"])

    page.get_by_role("button", name="Start the training").click()
    expect(page.get_by_text("Give the model a name.")).to_be_visible()
    page.get_by_label("Name of the model").fill("star")
    expect(page.get_by_text("Give the model a name.")).to_be_hidden()
    expect(page.get_by_text("Describe what the photos show.")).to_be_visible()


def test_new_model_draws_a_picture_and_a_clip_that_plays(page: Page, trained: Page) -> None:
    page.goto(trained.url)
    page.get_by_role("button", name="Generate with it").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value(MODEL)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(PROMPT)
    page.get_by_label("Make it move").check()
    page.get_by_text("More options").click()
    page.get_by_label("Steps", exact=True).fill("4")
    page.get_by_role("button", name="Make the video").click()

    result = page.get_by_role("region", name="Result")
    expect(result).to_contain_text(DONE)
    is_drawn(result.get_by_role("button", name="Open the picture").get_by_role("img"))
    clip = result.get_by_label(f"Clip: {PROMPT}")
    handle = clip.element_handle()
    assert handle is not None
    page.wait_for_function("clip => clip.readyState >= 3 && clip.currentTime > 0.1", arg=handle)
    assert clip.evaluate("clip => [clip.videoWidth, clip.videoHeight]") == [128, 128]


def test_gallery_opens_a_picture_and_draws_it_again_with_another_seed(page: Page, darkroom: Darkroom) -> None:
    made = darkroom.generate(prompt="a red circle on a navy background", steps=2, seed=1)
    darkroom.wait_for_phase(made, "Succeeded")
    page.goto("/#/gallery")
    page.get_by_role("button", name=re.compile("a red circle")).first.click()
    picture = page.get_by_role("dialog", name="Picture")
    is_drawn(picture.get_by_role("img"))
    address = picture.get_by_role("link", name="Download").get_attribute("href")
    assert page.request.get(str(address)).headers["content-type"] == "image/png"

    picture.get_by_role("button", name="Use as start picture").click()
    expect(page.get_by_role("group", name="Start picture", exact=True)).to_contain_text("seed-1.png")
    expect(page.get_by_label("Size").get_by_role("option", name="Square · 128 × 128")).to_be_attached()
    page.set_viewport_size({"width": 320, "height": 700})
    assert widest_px(page) <= 320
    page.get_by_text("More options").click()
    page.get_by_label("Steps", exact=True).fill("2")
    page.get_by_role("button", name="Make the picture").click()
    page.wait_for_url(re.compile(r"#/generate/generate-"))
    changed = darkroom.resource("generatejob", page.url.rpartition("/")[2])["spec"]
    assert changed["startImage"]["uri"].endswith(f"/{made}-seed-1.png")

    page.goto("/#/gallery")
    page.get_by_role("button", name=re.compile("a red circle.*seed 1$")).first.click()
    picture.get_by_role("button", name="Another seed").click()
    page.wait_for_url(re.compile(r"#/generate/generate-"))
    again = page.url.rpartition("/")[2]
    assert darkroom.resource("generatejob", again)["spec"]["images"]["seed"] != 1
    darkroom.wait_for_phase(again, "Succeeded")


@pytest.fixture(scope="module")
def long_training(darkroom: Darkroom) -> Iterator[str]:
    """The task of a training that runs until it is cancelled."""
    task_id = darkroom.train(prompt=PROMPT, model_id="page-long", max_steps=20_000, rank=4)
    darkroom.wait_for_phase(task_id, "Running")
    yield task_id
    darkroom.http.delete(f"/jobs/{task_id}")


def test_reload_in_the_middle_of_a_training_shows_the_same_curve_and_draft(page: Page, long_training: str) -> None:
    page.goto("/#/generate")
    page.get_by_label("Prompt", exact=True).fill("a draft that is not sent")
    page.goto(f"/#/jobs/{long_training}")
    expect(loss_curve(page)).to_be_visible()
    before = reports(page)

    page.reload()
    expect(status(page)).to_contain_text(RUNNING)
    expect(loss_curve(page)).to_be_visible()
    assert reports(page) >= before
    page.goto("/#/generate")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a draft that is not sent")


def test_page_says_that_the_gateway_is_gone_and_continues_when_it_is_back(
    page: Page, darkroom: Darkroom, long_training: str
) -> None:
    page.goto(f"/#/jobs/{long_training}")
    expect(loss_curve(page)).to_be_visible()
    lost = page.get_by_role("alert").filter(has_text="Connection lost")
    expect(lost).to_be_hidden()

    darkroom.kill_gateway()
    expect(lost).to_be_visible()
    before = reports(page)
    expect(lost).to_be_hidden()
    wait_for(lambda: reports(page) > before, "the curve continues")
    expect(status(page)).to_contain_text(RUNNING)


def test_running_training_is_suspended_resumed_and_cancelled(page: Page, long_training: str) -> None:
    page.goto(f"/#/jobs/{long_training}")
    page.get_by_role("button", name="Suspend").click()
    expect(status(page)).to_contain_text(SUSPENDED)
    page.get_by_role("button", name="Resume").click()
    expect(status(page)).to_contain_text(RUNNING)

    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the training").click()
    expect(page.get_by_text("This job no longer exists")).to_be_visible()


def test_picture_is_made_by_keyboard_alone(page: Page, darkroom: Darkroom) -> None:
    page.goto("/")
    press(page, "Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    tab_to(page, page.get_by_role("navigation").get_by_role("link", name="Generate"))
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Generate")).to_be_visible()
    tab_to(page, page.get_by_label("Prompt", exact=True))
    page.keyboard.type("a blue square")
    tab_to(page, page.get_by_text("More options"))
    press(page, "Enter")
    tab_to(page, page.get_by_label("Steps", exact=True))
    page.keyboard.type("2")
    press(page, "Control+Enter")

    opened = page.get_by_role("button", name="Open the picture")
    expect(opened).to_be_visible()
    tab_to(page, opened)
    press(page, "Enter")
    expect(page.get_by_role("dialog", name="Picture")).to_be_visible()
    press(page, "Escape")
    expect(page.get_by_role("dialog", name="Picture")).to_be_hidden()
    expect(opened).to_be_focused()


VIEWS = ("train", "generate", "gallery", "queue", "models", "settings")


@pytest.fixture
def all_views(page: Page, trained: Page) -> list[str]:
    """The addresses of all views, with the finished training and its model."""
    return [*(f"/#/{each}" for each in VIEWS), f"/#/jobs/{trained.url.rpartition('/')[2]}", f"/#/models/{MODEL}"]


def show(page: Page, address: str) -> None:
    """Open a view, and wait until its data is there."""
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("[aria-busy=true], .skeleton")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_has_a_serious_barrier(page: Page, all_views: list[str], scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for address in all_views:
        show(page, address)
        assert barriers(page) == [], address


@pytest.mark.parametrize("width", [320, 390])
def test_no_view_scrolls_sideways_on_a_phone(page: Page, all_views: list[str], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    for address in all_views:
        show(page, address)
        assert widest_px(page) <= width, address


def test_page_with_all_its_parts_stays_under_200_kilobytes(page: Page, all_views: list[str]) -> None:
    traffic = Traffic(page)
    for address in all_views:
        show(page, address)
    expect(page.get_by_role("heading", name=MODEL)).to_be_visible()

    assert "uPlot" in str(traffic.bytes_by_path)
    assert sum(traffic.bytes_by_path.values()) < 200_000, traffic.bytes_by_path


def test_second_visit_loads_no_file_again(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    traffic = Traffic(page)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert set(traffic.bytes_by_path) <= {"/"}


def test_page_draws_itself_before_its_data_is_there(page: Page) -> None:
    held: list[Route] = []
    page.route("**/v1/**", lambda route: held.append(route))
    for view, heading in (("train", "Train a model"), ("gallery", "Gallery"), ("queue", "Queue"), ("models", "Models")):
        page.goto(f"/#/{view}")
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    assert held
    expect(page.locator("[aria-busy=true]")).not_to_have_count(0)

    page.unroute("**/v1/**")  # Continues what is held.
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
