"""The form of a training, before anything is sent; and dates."""

import pytest
from playwright.sync_api import Page, expect
from support.page_modules import call


def test_training_without_photos_marks_the_photo_area(styled: Page) -> None:
    """And leads the keyboard there, before the fields that are empty too."""
    show = "(async ({ html, render }) => render(html`<${m.TrainView} />`, document.body))(await import('/js/ui.js'))"
    call(styled, "views/train.js", show)
    photos = styled.get_by_role("region", name="Photos")
    choose = photos.locator("button", has_text="Choose photos")
    expect(photos).not_to_have_attribute("aria-invalid", "true")
    styled.get_by_role("button", name="Start the training").click()

    expect(photos).to_have_attribute("aria-invalid", "true")
    expect(photos.get_by_role("alert")).to_have_text("Add the photos to learn from: 5 to 20 are a good number.")
    expect(choose).to_be_focused()
    expect(choose).to_have_accessible_description("Add the photos to learn from: 5 to 20 are a good number.")
    expect(styled.get_by_text("Give the model a name.")).to_be_visible()
    color = styled.evaluate("() => getComputedStyle(document.querySelector('.field-error')).color")
    expect(photos.locator(".drop")).to_have_css("border-top-color", color)

    for name, text in (("Name of the model", "my-dog"), ("Prompt", "a photo of sks dog")):
        styled.get_by_label(name, exact=True).fill(text)
    expect(photos.get_by_role("alert")).to_be_visible()


_DETAILS = """(async () => {
  const { html, render } = await import("/js/ui.js");
  const job = { id: "generate-q7x2m9k3ab", kind: "GenerateJob", prompt: "a dog", priority: 0, model_id: null,
    attempts: 1, spec: { images: { seed: 7 } }, created: "2026-11-30T12:44:00Z", submitted_by: "somebody-by-name" };
  render(html`<main><${m.Details} job=${job} /></main>`, document.body);
  const lines = new Set([...document.querySelector("time").getClientRects()].map(({ top }) => top));
  return [lines.size, document.documentElement.scrollWidth <= innerWidth];
})()"""


@pytest.mark.parametrize("width", [320, 390, 768, 1048, 1280])
def test_date_stays_in_one_line(styled: Page, width: int) -> None:
    styled.set_viewport_size({"width": width, "height": 800})
    assert call(styled, "components/details.js", _DETAILS) == [1, True]
