"""A picture or clip that is opened, and the tile of a clip in the gallery."""

import pytest
from playwright.sync_api import Page, expect
from support.page_modules import call

_OPEN = """(async () => {
  const { html, render } = await import("/js/ui.js");
  const canvas = Object.assign(document.createElement("canvas"), { width: given[1], height: given[2] });
  const expires = new Date(Date.now() + 9e6).toISOString();
  const artifact = { name: "a", role: given[0], seed: 7, url: canvas.toDataURL(), expires, uri: "s3://d/a" };
  const spec = { images: { seed: 7, steps: 12, guidanceScale: 2 }, video: { frames: 8 } };
  const job = { id: "a", kind: "GenerateJob", status: "Succeeded", prompt: "a red star", model_id: null, spec };
  render(html`<${m.Lightbox} />`, document.body);
  m.openLightbox([{ job: { ...job, artifacts: [artifact] }, artifact, fresh: async () => artifact }], 0);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
})()"""

_FRAME = """(video, [width, height]) => {
  Object.defineProperties(video, { videoWidth: { value: width }, videoHeight: { value: height } });
  video.dispatchEvent(new Event("loadedmetadata"));
}"""
"""As a browser that has read a clip's first frame."""


@pytest.mark.parametrize("role", ["image", "video"])
@pytest.mark.parametrize(("width", "height"), [(16, 16), (64, 16), (16, 64), (3000, 1500)])
@pytest.mark.parametrize("window", [(1280, 800), (768, 1024), (390, 780)])
def test_opened_picture_fills_the_window_in_its_own_proportions(
    styled: Page, role: str, width: int, height: int, window: tuple[int, int]
) -> None:
    """A small one is enlarged, and none is cut off."""
    styled.set_viewport_size({"width": window[0], "height": window[1]})
    call(styled, "components/lightbox.js", _OPEN, role, width, height)
    opened = styled.locator(".lightbox-stage > :is(img, video)")
    if role == "video":
        opened.evaluate(_FRAME, [width, height])
    expect(opened).to_be_visible()
    room = styled.locator(".lightbox-stage").evaluate("""stage => {
      const { paddingLeft, paddingRight } = getComputedStyle(stage);
      return [stage.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight), stage.clientHeight];
    }""")
    box = opened.bounding_box()
    assert box is not None
    scale = min(room[0] / width, room[1] / height)
    assert (box["width"], box["height"]) == pytest.approx((width * scale, height * scale), abs=1)


@pytest.mark.parametrize(("button", "text"), [("Copy the prompt", "a red star"), ("Copy the seed", "7")])
def test_prompt_and_seed_of_an_opened_picture_are_copied_with_a_click(styled: Page, button: str, text: str) -> None:
    call(styled, "components/lightbox.js", _OPEN, "image", 16, 16)
    expect(styled.get_by_text("Seed 7 · Base model · 16 × 16 · 12 steps · guidance 2")).to_be_visible()
    styled.evaluate("document.execCommand = () => { globalThis.copied = document.activeElement.value; return true; }")
    styled.get_by_role("button", name=button).click()
    assert styled.evaluate("copied") == text


_TILE = """(async () => {
  const { html, render } = await import("/js/ui.js");
  globalThis.calls = [];
  HTMLMediaElement.prototype.play = async () => { calls.push("play"); };
  HTMLMediaElement.prototype.pause = () => { calls.push("pause"); };
  const file = (role) => ({ name: role, role, url: `about:blank#${role}`, expires: "2099-01-01T00:00:00Z" });
  const job = { prompt: "a dog", spec: given[0], artifacts: [file("image"), file("video")] };
  const open = () => calls.push("open");
  const properties = { job, video: file("video"), label: "Open the clip", onOpen: open };
  const tile = html`<li class="tile"><${m.ClipTile} ...${properties} /></li>`;
  render(html`<ul style=${{ width: "200px" }}>${tile}</ul><button>Next</button>`, document.body);
})()"""


def test_clip_in_the_gallery_has_no_controls_and_opens_with_a_click(styled: Page) -> None:
    call(styled, "components/pictures.js", _TILE, {})
    assert styled.locator("video").evaluate("video => [video.controls, video.autoplay]") == [False, False]
    styled.get_by_role("button", name="Open the clip").click()
    assert styled.evaluate("calls.at(-1)") == "open"


def test_clip_in_the_gallery_moves_under_the_mouse_and_the_focus(styled: Page) -> None:
    styled.emulate_media(reduced_motion="no-preference")
    call(styled, "components/pictures.js", _TILE, {})
    styled.get_by_role("button", name="Next").hover()
    styled.evaluate("calls.splice(0)")  # The mouse may have been over the clip before.
    styled.get_by_role("button", name="Open the clip").hover()
    styled.get_by_role("button", name="Next").hover()
    assert styled.evaluate("calls.splice(0)") == ["play", "pause"]
    styled.get_by_role("button", name="Open the clip").focus()
    styled.get_by_role("button", name="Next").focus()
    assert styled.evaluate("calls") == ["play", "pause"]


def test_clip_in_the_gallery_rests_where_less_motion_is_wanted(styled: Page) -> None:
    styled.emulate_media(reduced_motion="reduce")
    call(styled, "components/pictures.js", _TILE, {})
    styled.get_by_role("button", name="Open the clip").focus()
    assert styled.evaluate("calls") == []


@pytest.mark.parametrize(("video", "poster"), [({}, "about:blank#image"), ({"startImage": {"uri": "s3://d/a"}}, "")])
def test_clip_shows_the_picture_that_it_begins_with(styled: Page, video: dict[str, object], poster: str) -> None:
    """And its own first frame where the job has not made that picture."""
    call(styled, "components/pictures.js", _TILE, {"video": video})
    assert styled.locator("video").evaluate("video => video.poster") == poster
    assert str(styled.locator("video").get_attribute("src")).endswith("#t=0.001")
