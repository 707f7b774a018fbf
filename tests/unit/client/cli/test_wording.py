"""Messages of the gateway in commands and options."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from support.scripted_gateway import ScriptedGateway, document, job

from darkroom_client.cli.parser import make_parser
from darkroom_client.cli.wording import GENERATE_OPTIONS, IMPORT_OPTIONS, TRAIN_OPTIONS, wording_for, wording_of
from darkroom_client.errors import FieldProblem
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec

from .conftest import Run


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "This gateway requires an API key. Send your key in a header: 'Authorization: Bearer <key>'.",
            "This gateway requires an API key.",
        ),
        ("Lower training.learningRate (now 0.001).", "Lower --learning-rate (now 0.001)."),
        ("Set training.minSnrGamma. A prompt: mask.png", "Set training.minSnrGamma. A prompt: mask.png"),
        (
            "Use dog, or train it with training.saveSteps (save_steps in a URL).",
            "Use dog, or train it with --set training.saveSteps=N.",
        ),
        ("prompt: Write some text. modelId: Add it.", "--prompt: Write some text. --model: Add it."),
    ],
)
def test_message_is_put_into_words_of_the_command_line(text: str, words: str) -> None:
    assert wording_for("TrainJob").text(text) == words


@pytest.mark.parametrize(("options", "model"), [(TRAIN_OPTIONS, TrainJobSpec), (GENERATE_OPTIONS, GenerateJobSpec)])
def test_every_renamed_field_exists(options: dict[str, str], model) -> None:
    schema = json.dumps(model.model_json_schema())
    parts = {name for field in options for name in field.split(".")} - {"image", "video_image"}
    assert {name for name in parts if f'"{name}"' not in schema} == set()


@pytest.mark.parametrize(
    ("words", "options"),
    [(["train"], TRAIN_OPTIONS), (["generate", "a"], GENERATE_OPTIONS), (["models", "import", "a"], IMPORT_OPTIONS)],
)
def test_every_named_option_exists(words: list[str], options: dict[str, str]) -> None:
    given = make_parser().parse_args(words)
    names = {option.removeprefix("--").replace("-", "_").lower() for option in options.values()}
    assert {name for name in names if not hasattr(given, name)} == set()


def refusal(*problems: tuple[str, str]) -> dict[str, object]:
    errors = [{"parameter": field, "message": message, "given": None} for field, message in problems]
    detail = " ".join(f"{field}: {message}" for field, message in problems[:3])
    return {"type": "tag:darkroom.dev,2026:InvalidRequest", "status": 422, "detail": detail, "errors": errors}


def unreadable(kind: type, value: object) -> Any:
    """pydantic's error for a value."""
    with pytest.raises(ValidationError) as error:
        TypeAdapter(kind, config={"allow_inf_nan": False}).validate_python(value)
    return error.value.errors()[0]


UNREADABLE = [
    (unreadable(int, "x"), "a whole number"),
    (unreadable(int, 1.5), "a whole number"),
    (unreadable(int, []), "a whole number"),
    (unreadable(int, "1" * 5000), "a whole number"),
    (unreadable(float, "x"), "a number"),
    (unreadable(float, []), "a number"),
    (unreadable(float, "inf"), "a number"),
    (unreadable(bool, "x"), "true or false"),
    (unreadable(bool, 2.5), "true or false"),
]
"""What pydantic says of a value, and what the command line says to use."""


@pytest.mark.parametrize(
    ("message", "given", "line"),
    [
        ("Input should be less than or equal to 8.", "400", "--count is 400: use at most 8."),
        ("Input should be greater than or equal to 1.", "-1", "--count is -1: use at least 1."),
        ("Input should be a valid integer.", "x" * 99, "--count: use a whole number."),
        *((f"{each['msg']}.", "x", f"--count is x: use {words}.") for each, words in UNREADABLE),
        ("images.count is 0: use 1 to 8.", None, "--count is 0: use 1 to 8."),
        ("Too many.", "400", "--count: Too many."),
    ],
)
def test_refused_value_is_shown_with_the_bound(message: str, given: str | None, line: str) -> None:
    wording = wording_of(make_parser().parse_args(["generate", "a"]))
    assert wording.problem(FieldProblem("images.count", message, given)) == line


def test_refused_picture_is_named_by_its_option_once() -> None:
    wording = wording_of(make_parser().parse_args(["generate", "a"]))
    problem = FieldProblem("startImage.uri", "image is no JPEG picture.")
    assert wording.problem(problem) == "--image is no JPEG picture."


def test_refused_field_is_named_by_its_option(gateway: ScriptedGateway, run: Run) -> None:
    answer = document(refusal(("images.count", "Input should be less than or equal to 4.")), 422)
    gateway.script("POST", "/v1/generate-jobs", answer)
    assert run("generate", "a", "-n", "8").err == "darkroom: --count: use at most 4.\n"
    as_json = json.loads(run("generate", "a", "-n", "8", "--json").err)
    assert as_json["error"]["errors"][0]["parameter"] == "images.count"


def test_several_refused_fields_have_a_line_each(gateway: ScriptedGateway, run: Run, photos: Path) -> None:
    answer = document(refusal(("maxSteps", "Too many."), ("training.rank", "Too high."), ("prompt", "Too long.")), 422)
    gateway.script("POST", "/v1/train-jobs", answer)
    assert run("train", str(photos), "-m", "a", "-p", "b").err.splitlines()[1:] == [
        "darkroom: The gateway refuses this, for 3 reasons:",
        "  --steps: Too many.",
        "  --rank: Too high.",
        "  --prompt: Too long.",
    ]


def test_fields_that_are_not_listed_are_counted(gateway: ScriptedGateway, run: Run, photos: Path) -> None:
    answer = refusal(*((f"field{number}", "There is no such field.") for number in range(20)))
    answer["detail"] = f"{answer['detail']} There are 300 faults in all; the first 20 are listed."
    gateway.script("POST", "/v1/train-jobs", document(answer, 422))
    assert run("train", str(photos), "-m", "a", "-p", "b").err.splitlines()[1:3] == [
        "darkroom: The gateway refuses this. There are 300 faults in all; the first 20 are listed.",
        "  field0: There is no such field.",
    ]


def test_field_that_was_written_as_a_field_keeps_its_name() -> None:
    for written in (["--set", "images.count=400"], ["--spec", "a.yaml"]):
        wording = wording_of(make_parser().parse_args(["generate", "a", *written, "--steps", "200"]))
        assert wording.option_of("images.count") == "images.count"
        assert wording.option_of("images.steps") == "--steps"


def test_reason_of_a_failed_job_names_options(gateway: ScriptedGateway, run: Run) -> None:
    error = {"reason": "NonFiniteLoss", "message": "The loss became NaN.", "advice": "Lower training.learningRate."}
    gateway.script("GET", "/v1/jobs/train-a", document(job(status="Failed", error=error)))
    assert "Advice:       Lower --learning-rate." in run("job", "train-a").out
    assert run("job", "-f", "train-a").err.endswith("\n  Lower --learning-rate.\n")


def test_field_that_turns_something_on_is_its_option_without_a_value() -> None:
    message = "Add allowMotion: true, or leave the picture out: it has no effect without a clip."
    problem = FieldProblem("video.startImage.uri", message)
    expected = "--video-image: Add --video, or leave the picture out: it has no effect without a clip."
    assert wording_for("GenerateJob").problem(problem) == expected


def test_parameters_of_a_list_are_named_by_their_options(gateway: ScriptedGateway, run: Run) -> None:
    gateway.script("GET", "/v1/jobs", document(refusal(("limit", "Input should be less than or equal to 5.")), 422))
    assert run("jobs", "--limit", "6").err == "darkroom: --limit: use at most 5.\n"
