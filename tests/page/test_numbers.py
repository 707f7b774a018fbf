"""Numbers and choices of the forms: the page's bounds are those of the CRDs, and errors say what to write."""

from typing import Any

import pytest
import yaml
from playwright.sync_api import Page
from support.markdown import REPOSITORY
from support.page_modules import call

_PATHS = {
    "width": "images.width",
    "height": "images.height",
    "seed": "images.seed",
    "steps": "images.steps",
    "guidanceScale": "images.guidanceScale",
    "frames": "video.frames",
    "motion": "video.motionBucketId",
}


def field(kind: str, path: str) -> dict[str, Any]:
    """The schema of a field of a spec."""
    text = (REPOSITORY / "crds" / f"{kind}.darkroom.dev.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in ("spec", *path.split(".")):
        found = found["properties"][name]
    return found


def bounds(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"min": schema["minimum"], "max": schema["maximum"]}
    if schema["type"] == "integer":
        found["isWhole"] = True
    return found | ({"multiple": schema["multipleOf"]} if "multipleOf" in schema else {})


def test_numbers_of_the_training_form_have_the_bounds_of_the_crd(modules: Page) -> None:
    fields = call(modules, "views/train_fields.js", "[{ path: 'maxSteps', bounds: m.STEPS }, ...m.ADVANCED]")
    numbers = {each["path"]: each["bounds"] for each in fields if "bounds" in each}

    assert len(numbers) > 5
    assert numbers == {path: bounds(field("trainjobs", path)) for path in numbers}


def test_choices_of_the_training_form_are_those_of_the_crd(modules: Page) -> None:
    choices = [each for each in call(modules, "views/train_fields.js", "m.ADVANCED") if "options" in each]
    for each in choices:
        offered = {value for value, _ in each["options"] if value}
        assert offered <= set(field("trainjobs", each["path"])["enum"]), each["path"]
    assert choices


def test_numbers_of_the_generation_form_have_the_bounds_of_the_crd(modules: Page) -> None:
    numbers = call(modules, "views/generate_form.js", "m.BOUNDS")
    assert numbers == {name: bounds(field("generatejobs", path)) for name, path in _PATHS.items()}


_WHOLE = {"min": 1, "max": 9, "isWhole": True}
_STEPS = {"min": 1, "max": 20_000, "isWhole": True}


@pytest.mark.parametrize(
    ("text", "limits", "fault"),
    [
        ("", {"min": 1, "max": 9}, ""),
        ("7.5", {"min": 0, "max": 30}, ""),
        ("2e-4", {"min": 1e-8, "max": 10}, ""),
        ("abc", {"min": 1, "max": 20_000}, "“abc” is not a number: write one from 1 to 20000."),
        ("0", {"min": 1e-8, "max": 10}, "0 is too low: write a number from 0.00000001 to 10."),
        ("31", {"min": 0, "max": 30}, "31 is too high: write a number from 0 to 30."),
        ("7,5", {"min": 0, "max": 30}, "Write it with a point: 7.5."),
        ("1.5", _WHOLE, "1.5 is not whole: write a whole number from 1 to 9."),
        ("0x10", {"min": 0, "max": 30}, "“0x10” is not a number: write one from 0 to 30."),
        ("1,000", _STEPS, "Write it in digits alone: 1000."),
        ("1.000", _STEPS, "Write it in digits alone: 1000."),
        ("30,000", _STEPS, "Write it in digits alone: 30000."),
        ("30000", _STEPS, "30000 is too high: write a whole number from 1 to 20000."),
        ("1e3", _STEPS, ""),
        ("0x10", _STEPS, "“0x10” is not a number: write a whole number from 1 to 20000."),
        ("x", _WHOLE, "“x” is not a number: write a whole number from 1 to 9."),
        ("100", {"min": 64, "max": 2048, "multiple": 8}, "100 is not a multiple of 8: write 96 or 104."),
    ],
)
def test_number_that_can_not_be_used_says_what_to_write(
    modules: Page, text: str, limits: dict[str, Any], fault: str
) -> None:
    assert call(modules, "numbers.js", "m.numberFault(given[0], given[1])", text, limits) == fault


@pytest.mark.parametrize("name", ["owner/name", "small-sdxl", "owner/name@v1.0"])
def test_base_model_is_checked_before_anything_is_sent(modules: Page, name: str) -> None:
    expression = (
        "given.map((baseModel) => m.faultsOf({ ...m.EMPTY, modelId: 'a', prompt: 'a', advanced: { baseModel } }))"
    )
    right, wrong = call(modules, "views/train_fields.js", expression, name, f"https://huggingface.co/{name}")

    assert right == {}
    assert "owner/name" in wrong["baseModel"]


def test_text_in_a_field_of_a_number_is_kept_and_refused(modules: Page) -> None:
    """A field of the type `number` would give an empty text for it, which means the default."""
    code = """(async () => {
      const { html, render } = await import("/js/ui.js");
      let typed = null;
      const given = { id: "rank", label: "Rank", value: "", bounds: { min: 1, max: 9, isWhole: true } };
      const onInput = (text) => { typed = text; };
      render(html`<${m.TextField} ...${given} onInput=${onInput} />`, document.body);
      const input = document.querySelector("input");
      input.value = "1e";
      input.dispatchEvent(new Event("input"));
      const found = [typed, input.inputMode];
      render(null, document.body);
      return found;
    })()"""
    assert call(modules, "components/fields.js", code) == ["1e", "numeric"]
