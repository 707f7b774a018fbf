"""Make the pictures of the page (docs/pictures/page-*.webp) from a running one in Chromium: `make screenshots`.

Starts `darkroom up` in a temporary folder, trains a model by dropping the example photos onto the page, draws with it,
and takes each state in light or dark, on a desktop or a phone. `--gateway URL` uses a running gateway instead. On two
idle CPU cores it takes some minutes.
"""

import argparse
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import httpx
from gateway import darkroom_up, existing, submit, wait_for
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from support.browser import MISSING, chromium, drop, find_chromium

from darkroom_local.demo import script

HERE = Path(__file__).resolve().parent
PHOTOS = sorted((HERE.parents[1] / "examples" / "photos").glob("*.png"))

Scheme = Literal["light", "dark"]
DESKTOP, PHONE = (1280, 800), (390, 760)
SCALE = 2
"""Device pixels for each CSS pixel."""
QUALITY = 82
WAIT_MS = 3_600_000
LOADED = """() => {
  const below = each => each.loading !== "eager" && each.getBoundingClientRect().top > innerHeight;
  return [...document.images].every(image => image.complete || below(image))
    && [...document.querySelectorAll("video")].every(video => video.readyState >= 2 || below(video));
}"""
"""Pictures and clips in view are there; those below it may be loaded late."""

MODEL = "my-star"
PROMPT = str(script.TRAIN["prompt"])
STEPS = int(script.TRAIN["max_steps"])
TRAINING = {
    "Rank": str(script.TRAIN["rank"]),
    "Learning rate": str(script.TRAIN["learning_rate"]),
    "Batch size": str(script.TRAIN["batch_size"]),
    "Class prompt": str(script.TRAIN["class_prompt"]),
}
BACKGROUNDS = ("olive", "navy", "teal", "maroon", "purple", "orange")
WAITING = ("a red circle on a navy background", "a blue heart on a white background", "a green square")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="address of a running gateway; without it, `darkroom up` is started")
    options = parser.parse_args()
    path = find_chromium()
    if path is None:
        sys.exit(MISSING)
    with darkroom_up() if options.gateway is None else existing(options.gateway) as client, chromium(path) as browser:
        take_all(browser, client)


def take_all(browser: Browser, client: httpx.Client) -> None:
    root = str(client.base_url)
    page = open_page(browser, root, DESKTOP, "light")
    fill_training(page)
    save(page, "train-light")
    page.get_by_role("button", name="Start the training").click()
    expect(page.get_by_role("heading", name=MODEL)).to_be_visible()
    training = page.url.rpartition("/")[2]
    expect(page.get_by_role("region", name="Samples").get_by_role("img")).to_have_count(3, timeout=WAIT_MS)
    save(page, "training-light")
    take(browser, root, f"jobs/{training}", [("training-dark", DESKTOP, "dark"), ("training-phone", PHONE, "light")])
    wait_for(client, training, "/result")
    drawn = [submit(client, "/generate/lora", params=request) for request in pictures()]
    for each in drawn:
        wait_for(client, each)
    take(
        browser,
        root,
        f"generate/{drawn[0]}",
        [("generate-light", DESKTOP, "light"), ("generate-phone", PHONE, "dark")],
        top=".stage",
    )
    take(browser, root, "gallery", [("gallery-light", DESKTOP, "light"), ("gallery-dark", DESKTOP, "dark")])
    take(browser, root, "models", [("models-light", DESKTOP, "light")])
    waiting = [submit(client, "/generate/sdxl", params={"prompt": each, "steps": 100}) for each in WAITING]
    take(browser, root, "queue", [("queue-light", DESKTOP, "light"), ("queue-phone", PHONE, "dark")])
    for each in waiting:
        client.delete(f"/jobs/{each}")


def pictures() -> Sequence[dict[str, object]]:
    """The first one moves."""
    return [
        {
            "prompt": f"{PROMPT}, {each} background",
            "model_id": MODEL,
            "guidance_scale": 2,
            "seed": seed,
            **({"allow_motion": True, **script.MOTION} if seed == 0 else {}),
        }
        for seed, each in enumerate(BACKGROUNDS)
    ]


def open_page(browser: Browser, root: str, size: tuple[int, int], scheme: Scheme) -> Page:
    context = browser.new_context(
        base_url=root,
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=SCALE,
        color_scheme=scheme,
        locale="en-US",
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto("/")
    return page


def fill_training(page: Page) -> None:
    drop(page.get_by_text("Drop photos here"), PHOTOS)
    page.get_by_label("Name of the model").fill(MODEL)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_label("Steps").fill(str(STEPS))
    page.get_by_text("Advanced").click()
    for name, value in TRAINING.items():
        page.get_by_label(name, exact=True).fill(value)
    page.get_by_label("Layers").select_option("All")
    page.get_by_label("Train the text encoders too").check()
    page.get_by_text("Advanced").click()
    expect(page.get_by_role("img", name=re.compile("photo-"))).to_have_count(len(PHOTOS))


def take(
    browser: Browser, root: str, view: str, shots: list[tuple[str, tuple[int, int], Scheme]], top: str = "h1"
) -> None:
    """`top`: a phone begins there."""
    for name, size, scheme in shots:
        page = open_page(browser, root, size, scheme)
        page.goto(f"/#/{view}")
        expect(page.locator("[aria-busy=true], .skeleton")).to_have_count(0)
        page.wait_for_function(LOADED)
        save(page, name, top if size == PHONE else "h1")
        page.context.close()


def save(page: Page, name: str, top: str = "h1") -> None:
    page.evaluate("() => scrollTo(0, 0)")
    if top != "h1":
        page.locator(top).evaluate("element => element.scrollIntoView({ block: 'start' })")
    with Image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide"))) as picture:
        picture.convert("RGB").save(HERE / f"page-{name}.webp", quality=QUALITY, method=6)
    print(f"docs/pictures/page-{name}.webp")


if __name__ == "__main__":
    main()
