"""Modules of the page that decide without drawing anything, run in a browser without a gateway."""

from typing import Any

import pytest
from playwright.sync_api import Page
from support.page_modules import call


def _waiting(*priorities: int) -> list[dict[str, Any]]:
    """Waiting jobs in their order: by priority, then by age."""
    return [
        {"id": f"job-{number}", "priority": priority, "created": f"2026-11-24T05:00:{number:02}Z"}
        for number, priority in enumerate(priorities)
    ]


def _order(jobs: list[dict[str, Any]], changes: list[dict[str, Any]]) -> list[str]:
    """The order in which the operator runs the jobs after the changes."""
    priorities = {each["id"]: each["priority"] for each in jobs} | {each["id"]: each["priority"] for each in changes}
    return [each["id"] for each in sorted(jobs, key=lambda job: (-priorities[job["id"]], job["created"]))]


@pytest.mark.parametrize("priorities", [(0, 0, 0, 0), (5, 5, 0, 0), (3, 2, 1, 0), (0, -1, -1, -1000)])
@pytest.mark.parametrize(("source", "target"), [(3, 2), (2, 1), (3, 0), (0, 1), (1, 3)])
def test_moved_job_gets_its_place_and_the_others_keep_their_order(
    modules: Page, priorities: tuple[int, ...], source: int, target: int
) -> None:
    jobs = _waiting(*priorities)
    wanted = [each["id"] for each in jobs]
    wanted.insert(target, wanted.pop(source))

    changes = call(modules, "queue_order.js", "m.reordered(given[0], given[1], given[2])", jobs, source, target)

    assert _order(jobs, changes) == wanted


def test_job_can_not_be_moved_past_the_highest_priority(modules: Page) -> None:
    assert call(modules, "queue_order.js", "m.reordered(given[0], 1, 0)", _waiting(1000, 1000)) is None


def test_events_are_read_from_any_chunks(modules: Page) -> None:
    text = ': ping\n\nevent: job\ndata: {"id":\ndata: "ü"}\nid: 7-0\n\nid: 8-0\nretry: 2000\n\nevent: cut off\ndata: 1'
    read = """(async () => {
      const bytes = new TextEncoder().encode(given[0]);
      const chunks = new ReadableStream({ start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      } });
      const events = [];
      for await (const event of m.eventsOf(new Response(chunks))) events.push(event);
      return events;
    })()"""
    assert call(modules, "sse.js", read, text) == [
        None,
        {"event": "job", "data": '{"id":\n"ü"}', "id": "7-0"},
        {"event": "message", "data": "", "id": "8-0"},
    ]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
        (b"\x00\x00\x00\x1cftypavif", "AVIF"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"\x00\x00\x00\x18ftypisom", ""),
        (b"%PDF-1.4", ""),
        (b"", ""),
    ],
)
def test_photo_is_known_by_its_first_bytes(modules: Page, head: bytes, name: str) -> None:
    assert call(modules, "photo_checks.js", "m.formatOf(Uint8Array.from(given[0]))", list(head)) == name


@pytest.mark.parametrize(
    ("width", "height", "fault"),
    [(64, 16_000, ""), (63, 500, "too small"), (500, 16_001, "too large"), (10_001, 10_000, "100 megapixels")],
)
def test_photo_of_a_size_that_the_gateway_refuses_is_named(modules: Page, width: int, height: int, fault: str) -> None:
    message = call(modules, "photo_checks.js", "m.sizeFault(given[0], given[1])", width, height)
    assert fault in message if fault else message == ""


def test_training_form_makes_the_spec_of_a_train_job(modules: Page) -> None:
    expression = (
        "m.specOf({ ...m.EMPTY, modelId: 'my-dog', prompt: ' a photo ', maxSteps: '50', advanced: given[0] }, true)"
    )
    advanced = {"training.rank": "8", "training.priorPreservation.classPrompt": "a dog", "training.randomFlip": "true"}
    assert call(modules, "views/train_fields.js", expression, advanced) == {
        "modelId": "my-dog",
        "prompt": "a photo",
        "maxSteps": 50,
        "training": {
            "validationPrompt": "a photo",
            "validationSteps": 10,
            "maskedLoss": {},
            "rank": 8,
            "priorPreservation": {"classPrompt": "a dog"},
            "randomFlip": True,
        },
    }


def test_generation_form_leaves_out_what_has_no_effect(modules: Page) -> None:
    expression = "m.specOf({ ...m.EMPTY, ...given[0] }, false)"
    draft = {
        "prompt": "a dog",
        "seed": "7",
        "guidanceScale": "1",
        "negativePrompt": "blurry",
        "frames": "9",
        "steps": "4",
    }
    assert call(modules, "views/generate_form.js", expression, draft) == {
        "prompt": "a dog",
        "images": {"seed": 7, "steps": 4, "previewSteps": 1, "guidanceScale": 1},
        "cache": {"profile": "Balanced"},
    }


def test_picture_again_keeps_everything_but_the_seed(modules: Page) -> None:
    spec = {"prompt": "a dog", "suspend": True, "images": {"seed": 1, "steps": 4}, "cache": {"profile": "Fast"}}
    assert call(modules, "components/picture_actions.js", "m.withSeed(given[0], 2)", spec) == {
        "prompt": "a dog",
        "images": {"seed": 2, "steps": 4},
        "cache": {"profile": "Fast"},
    }


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (125, "2 min 5 s"), (3599, "1 h"), (4800, "1 h 20 min")]
)
def test_durations_are_rounded_for_people(modules: Page, seconds: float, text: str) -> None:
    assert call(modules, "format.js", "m.duration(given[0])", seconds) == text


def test_idempotency_keys_need_no_secure_context(modules: Page) -> None:
    first, second, is_secure = call(
        modules, "api.js", "[m.newIdempotencyKey(), m.newIdempotencyKey(), isSecureContext]"
    )
    assert not is_secure
    assert len(first) == 32
    assert first != second


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
