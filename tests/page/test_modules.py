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


_DRAFT_OF_EARLIER_PICTURE = {
    "prompt": "a dog",
    "seed": "7",
    "steps": "4",
    "modelId": "my-dog",
    "strength": 0.5,
    "start": {"job": "generate-a", "name": "a.png", "uri": "s3://darkroom/runs/1/a.png"},
}


def test_picture_of_an_earlier_job_can_be_changed_and_animated(modules: Page) -> None:
    expression = "given.map((draft) => m.specOf({ ...m.EMPTY, ...draft }, false, 1024))"
    changed, animated = call(
        modules,
        "views/generate_form.js",
        expression,
        _DRAFT_OF_EARLIER_PICTURE,
        _DRAFT_OF_EARLIER_PICTURE | {"startUse": "animate"},
    )

    assert changed["startImage"] == {"uri": "s3://darkroom/runs/1/a.png", "strength": 0.5}
    assert animated == {
        "prompt": "a dog",
        "images": {"count": 0},
        "cache": {"profile": "Balanced"},
        "allowMotion": True,
        "video": {"seed": 7, "startImage": {"uri": "s3://darkroom/runs/1/a.png"}},
    }


@pytest.mark.parametrize(
    ("native_px", "portrait", "sides"),
    [(1024, "Portrait · 832 × 1216", (832, 1216)), (128, "Portrait · 104 × 152", (104, 152))],
)
def test_offered_sizes_suit_the_base_model(
    modules: Page, native_px: int, portrait: str, sides: tuple[int, int]
) -> None:
    expression = (
        "[m.sizesOf(given[0]), m.specOf({ ...m.EMPTY, prompt: 'a', size: 'portrait' }, false, given[0]).images]"
    )
    offered, images = call(modules, "views/generate_form.js", expression, native_px)

    assert ["portrait", portrait] in offered
    assert (images["width"], images["height"]) == sides


def test_changed_field_loses_its_error_and_the_last_one_the_summary_too(modules: Page) -> None:
    code = """(() => {
      const form = new m.Sending();
      const shown = () => [form.faults.peek(), form.refusal.peek().title];
      form.refuse({ prompt: "Empty.", seed: "Too high." }, { title: "2 problems", messages: [] });
      form.changed(["size"]);
      const states = [shown()];
      for (const field of ["seed", "prompt"]) { form.changed([field]); states.push(shown()); }
      return states;
    })()"""
    assert call(modules, "components/sending.js", code) == [
        [{"prompt": "Empty.", "seed": "Too high."}, "2 problems"],
        [{"prompt": "Empty."}, "2 problems"],
        [{}, ""],
    ]


def test_change_of_a_training_form_concerns_only_the_fields_that_differ(modules: Page) -> None:
    before = {"training.rank": "8", "training.seed": "1"}
    changes = {"samplePrompt": "a dog", "advanced": before | {"training.rank": "16"}}
    expression = "m.changedFields({ ...m.EMPTY, advanced: given[0] }, given[1])"
    assert call(modules, "views/train_fields.js", expression, before, changes) == [
        "training.validationPrompt",
        "training.rank",
    ]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("train-k3x9q2m7ab", ["train-", "k3x9q2m7ab"]),
        ("stabilityai/sd_xl-base-1.0", ["stabilityai/", "sd_", "xl-", "base-", "1.", "0"]),
        ("a--b", ["a--", "b"]),
    ],
)
def test_names_are_broken_between_their_parts_only(modules: Page, name: str, parts: list[str]) -> None:
    assert call(modules, "components/id.js", "m.partsOf(given[0])", name) == parts


def test_files_of_a_training_say_which_programs_read_them(modules: Page) -> None:
    names = ["pytorch_lora_weights.safetensors", "my-dog.safetensors"]
    assert call(modules, "lora_forms.js", "given[0].map(m.useOfFile)", names) == [
        "For diffusers and peft",
        "For ComfyUI, A1111, Forge and InvokeAI",
    ]


def test_picture_again_keeps_everything_but_the_seed(modules: Page) -> None:
    spec = {"prompt": "a dog", "suspend": True, "images": {"seed": 1, "steps": 4}, "cache": {"profile": "Fast"}}
    assert call(modules, "components/picture_actions.js", "m.withSeed(given[0], 2)", spec) == {
        "prompt": "a dog",
        "images": {"seed": 2, "steps": 4},
        "cache": {"profile": "Fast"},
    }
    clip = {"images": {"count": 0}, "video": {"seed": 1}}
    assert call(modules, "components/picture_actions.js", "m.withSeed(given[0], 2)", clip) == {
        "images": {"count": 0},
        "video": {"seed": 2},
    }


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0_s"), (59, "59_s"), (125, "2_min 5_s"), (3599, "1_h"), (4800, "1_h 20_min")]
)
def test_durations_are_rounded_for_people(modules: Page, seconds: float, text: str) -> None:
    """A number and its unit stay in one line."""
    assert call(modules, "format.js", "m.duration(given[0])", seconds) == text.replace("_", "\u00a0")


def test_idempotency_keys_need_no_secure_context(modules: Page) -> None:
    first, second, is_secure = call(
        modules, "api.js", "[m.newIdempotencyKey(), m.newIdempotencyKey(), isSecureContext]"
    )
    assert not is_secure
    assert len(first) == 32
    assert first != second


def test_navigation_keeps_the_view_from_which_a_job_was_opened(modules: Page) -> None:
    code = """(async () => {
      const open = (hash) => new Promise((resolve) => {
        addEventListener("hashchange", () => resolve(m.section.peek()), { once: true });
        location.hash = hash;
      });
      const sections = [];
      for (const hash of ["#/gallery", "#/jobs/a", "#/settings", "#/jobs/b"]) sections.push(await open(hash));
      return sections;
    })()"""
    assert call(modules, "router.js", code) == ["gallery", "gallery", "queue", "queue"]
