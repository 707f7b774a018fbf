"""The photos of a training and their captions, as the page keeps them, run in a browser without a gateway."""

import io

import pytest
from PIL import Image
from playwright.sync_api import Page
from support.page_modules import call

from darkroom_contract.photos.reading import check_photo

_PHOTOS = """(async () => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const png = await new Promise((resolve) => canvas.toBlob(resolve));
  const folder = new File(["x"], "folder");
  folder.slice = () => ({ arrayBuffer: () => Promise.reject(new DOMException("a folder", "NotFoundError")) });
  folder.arrayBuffer = folder.slice().arrayBuffer;
  const settled = async () => { while (m.checking.peek() > 0) await new Promise((done) => setTimeout(done)); };
  m.clearPhotos();
  for (const files of given[0].map((group) => group.map(([name, text]) =>
    name === "folder" ? folder : new File([text ?? png], name)))) {
    m.addPhotos(files);
    await settled();
  }
  return m.photos.peek().map(({ file, fault }) => [file.name, fault]);
})()"""


def test_folder_among_the_photos_is_named_and_later_photos_are_still_checked(modules: Page) -> None:
    photos = call(modules, "photos.js", _PHOTOS, [[["folder"], ["1.png"]], [["2.txt", "no photo"], ["1.txt", "a dog"]]])
    assert photos == [["folder", "Can't be read. Is it a folder?"], ["1.png", ""]]


def test_corrected_caption_clears_its_fault(modules: Page) -> None:
    too_long = "dog " * 1000
    assert call(modules, "photos.js", _PHOTOS, [[["1.png"], ["1.txt", too_long]]]) == [
        ["1.png", "The caption has more than 1,000 characters."]
    ]
    assert call(modules, "photos.js", _PHOTOS, [[["1.png"], ["1.txt", too_long]], [["1.txt", "a dog"]]]) == [
        ["1.png", ""]
    ]


def test_caption_is_written_changed_and_removed_on_the_page(modules: Page) -> None:
    code = f"""(async () => {{
      await {_PHOTOS};
      const [{{ id }}] = m.photos.peek();
      const states = [];
      for (const text of [null, "a red dog", "  "]) {{
        if (text !== null) m.writeCaption(id, text);
        const [{{ captionText, caption, fault }}] = m.photos.peek();
        states.push([captionText, caption && caption.name, caption && (await caption.text()), fault]);
      }}
      return states;
    }})()"""
    too_long = "dog " * 1000
    states = call(modules, "photos.js", code, [[["Dog.png"], ["dog.txt", too_long]]])

    assert states[0][3] == "The caption has more than 1,000 characters."
    assert states[1:] == [["a red dog", "Dog.txt", "a red dog", ""], ["  ", None, None, ""]]


def test_check_of_an_earlier_caption_says_nothing_about_the_present_one(modules: Page) -> None:
    """Checks wait for those of other photos, while people type."""
    code = f"""(async () => {{
      await {_PHOTOS};
      const [{{ id }}] = m.photos.peek();
      m.writeCaption(id, "dog ".repeat(999));
      m.writeCaption(id, "a dog");
      m.addPhotos([new File(["x"], "2.png")]);
      while (m.checking.peek() > 0) await new Promise((done) => setTimeout(done));
      return m.photos.peek()[0].fault;
    }})()"""
    assert call(modules, "photos.js", code, [[["1.png"], ["1.txt", "dog " * 1000]]]) == ""


def test_only_the_beginning_of_a_large_caption_file_is_read(modules: Page) -> None:
    code = f"""(async () => {{
      await {_PHOTOS};
      return m.photos.peek().map(({{ captionText, fault }}) => [captionText.length, fault]);
    }})()"""
    found = call(modules, "photos.js", code, [[["1.png"], ["1.txt", "x" * 100_000]]])
    assert found == [[8192, "The caption has more than 1,000 characters."]]


def test_photos_of_the_same_name_have_captions_of_their_own(modules: Page) -> None:
    """Telephones name all pasted photos alike."""
    code = f"""(async () => {{
      await {_PHOTOS};
      for (const {{ id }} of m.photos.peek()) m.writeCaption(id, "a dog");
      return m.photos.peek().map(({{ file, caption }}) => [file.name, caption.name]);
    }})()"""
    one, other = [["image.png", "1"]], [["image.png", "2"]]
    assert call(modules, "photos.js", code, [one, other]) == [
        ["image.png", "image.txt"],
        ["image (2).png", "image (2).txt"],
    ]


_GIF = "GIF89a and so on"


def test_file_of_another_format_says_so_each_time_it_is_dropped(modules: Page) -> None:
    fault = "GIF is not accepted: save it as JPEG or PNG."
    photos = call(modules, "photos.js", _PHOTOS, [[["a.gif", _GIF]], [["a.gif", _GIF]]])
    assert photos == [["a.gif", fault], ["a (2).gif", fault]]


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"GIF87a", "GIF is not accepted: save it"),
        (b"II*\0", "TIFF is not accepted: save it"),
        (b"\0\0\0\x0cJXL ", "JPEG XL is not accepted: save it"),
        (b"<svg xmlns=", "SVG is not accepted: save it"),
        (b"\0\0\0\x18ftypisom", "A video"),
        (b"%PDF-1.4", "Not a photo"),
    ],
)
def test_format_that_is_not_accepted_is_named(modules: Page, head: bytes, fault: str) -> None:
    message = call(modules, "photo_checks.js", "m.formatFault(Uint8Array.from(given[0]))", list(head))
    assert message.startswith(fault)
    assert "JPEG" in message


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "AVIF"])
def test_animation_says_that_its_first_picture_counts_as_the_gateway_reads_it(modules: Page, kind: str) -> None:
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    still, animated = io.BytesIO(), io.BytesIO()
    frames[0].save(still, kind)
    frames[0].save(animated, kind, save_all=True, append_images=frames[1:])
    assert check_photo(animated.getvalue(), "a").size_px == (64, 64)

    inspect = "Promise.all(given.map((bytes) => m.inspect(new File([Uint8Array.from(bytes)], 'a'))))"
    found = call(modules, "photo_checks.js", inspect, list(still.getvalue()), list(animated.getvalue()))
    assert [(each["fault"], each["note"]) for each in found] == [
        ("", ""),
        ("", "Animated: only its first picture counts."),
    ]


def test_one_of_two_copies_stays_marked_when_their_photo_is_removed(modules: Page) -> None:
    code = f"""(async () => {{
      await {_PHOTOS};
      m.removePhoto(m.photos.peek()[0].id);
      m.addPhotos([new File(["x"], "later.png")]);
      while (m.checking.peek() > 0) await new Promise((done) => setTimeout(done));
      return m.photos.peek().slice(0, 2).map(({{ file, fault }}) => [file.name, fault]);
    }})()"""
    assert call(modules, "photos.js", code, [[["1.png"], ["2.png"], ["3.png"]]]) == [
        ["2.png", ""],
        ["3.png", "The same photo as 2.png."],
    ]
