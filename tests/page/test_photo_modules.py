"""The photos of a training and their captions, as the page keeps them, run in a browser without a gateway."""

from playwright.sync_api import Page
from support.page_modules import call

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


def test_written_caption_is_stored_in_place_of_the_one_before(modules: Page) -> None:
    code = """(async () => {
      const texts = async () => Promise.all((await m.storedPhotos()).map((file) => file.text()));
      const store = (...parts) => m.storePhotos(parts.map((part, key) => ({ key, file: new File([part], "1.txt") })));
      await store("photo", "one");
      await store("photo", "two");
      const stored = await texts();
      await store();
      return [stored, await texts()];
    })()"""
    assert call(modules, "photo_store.js", code) == [["photo", "two"], []]
