"""Messages of the gateway in commands and options."""

import json
import re
from pathlib import Path

import pytest
from support.markdown import REPOSITORY
from support.scripted_gateway import ScriptedGateway, document, job

from darkroom_client.cli.parser import make_parser
from darkroom_client.cli.wording import GENERATE_OPTIONS, IMPORT_OPTIONS, TRAIN_OPTIONS, wording_for, wording_of
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec

from .conftest import Run

GATEWAY = REPOSITORY / "gateway" / "darkroom_gateway"
OTHER_CLIENTS = ("openai_images",)
"""Parts of the gateway that the command line does not call."""
REQUEST = re.compile(r"\b(?:GET|POST|PATCH|DELETE) /[a-z]")


def messages_with_requests() -> list[str]:
    """The texts of the gateway's sources that name a request, without docstrings and OpenAPI descriptions."""
    found = []
    for path in sorted(GATEWAY.rglob("*.py")):
        if path.relative_to(GATEWAY).parts[0] not in OTHER_CLIENTS:
            code = re.sub(r'"""[\s\S]*?"""', "", path.read_text(encoding="utf-8"))
            found += [text for text in re.findall(r'f?"([^"\n]*)"', code) if REQUEST.search(text)]
    return found


@pytest.mark.parametrize("text", messages_with_requests())
def test_every_request_in_a_message_of_the_gateway_has_a_command(text: str) -> None:
    assert not REQUEST.search(wording_for("TrainJob").text(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Train it with POST /train, import it with POST /v1/models, or use one of GET /v1/models.",
            "Train it with `darkroom train`, import it with `darkroom models import`, or use one of `darkroom models`.",
        ),
        ("see GET /jobs?phase=Queued.", "see `darkroom jobs --status queued`."),
        ("GET /jobs?kind=TrainJob lists the trainings.", "`darkroom jobs --kind train` lists the trainings."),
        ("see GET /jobs/train-a?kind=TrainJob.", "see `darkroom job train-a`."),
        ("POST /v1/jobs/train-a/resume.", "`darkroom resume train-a`."),
        ("GET /nowhere", "GET /nowhere"),
        (
            "This gateway requires an API key. Send your key in a header: 'Authorization: Bearer <key>'.",
            "This gateway requires an API key.",
        ),
        ("Lower training.learningRate (now 0.001).", "Lower --learning-rate (now 0.001)."),
        ("Set training.minSnrGamma. A prompt: mask.png", "Set training.minSnrGamma. A prompt: mask.png"),
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


def test_refused_field_is_named_by_its_option(gateway: ScriptedGateway, run: Run) -> None:
    answer = document(refusal(("images.count", "Input should be less than or equal to 100.")), 422)
    gateway.script("POST", "/v1/generate-jobs", answer)
    assert run("generate", "a", "-n", "400").err == "darkroom: --count: Input should be less than or equal to 100.\n"
    as_json = json.loads(run("generate", "a", "-n", "400", "--json").err)
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


def test_field_that_was_written_as_a_field_keeps_its_name() -> None:
    for written in (["--set", "images.count=400"], ["--spec", "a.yaml"]):
        wording = wording_of(make_parser().parse_args(["generate", "a", *written, "--steps", "500"]))
        assert wording.option_of("images.count") == "images.count"
        assert wording.option_of("images.steps") == "--steps"


def test_reason_of_a_failed_job_names_options(gateway: ScriptedGateway, run: Run) -> None:
    error = {"reason": "NonFiniteLoss", "message": "The loss became NaN.", "advice": "Lower training.learningRate."}
    gateway.script("GET", "/v1/jobs/train-a", document(job(status="Failed", error=error)))
    assert "Advice:       Lower --learning-rate." in run("job", "train-a").out
    assert run("job", "-f", "train-a").err.endswith("\n  Lower --learning-rate.\n")
