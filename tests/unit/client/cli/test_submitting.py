"""`darkroom train` and `darkroom generate`: specs, progress, saved files, exit codes."""

import json
import os
import re
from pathlib import Path

import pytest
from support.scripted_gateway import ScriptedGateway, content, document, events, job, lost_connection

from darkroom_client import Job
from darkroom_client.cli.saving import Saver
from darkroom_contract.specs.generate_job import GenerateJobSpec

from .conftest import Run

TRAIN = ("train", "--model", "my-dog", "--prompt", "a photo of sks dog")


def spec_of(body: bytes) -> dict[str, object]:
    """The part `spec` of a form."""
    part = body.split(b'name="spec"')[1].split(b"\r\n\r\n", 1)[1].split(b"\r\n--")[0]
    found: dict[str, object] = json.loads(part)
    return found


def script_run(gateway: ScriptedGateway, job_id: str, end: dict[str, object], *steps: dict[str, object]) -> None:
    path = f"/v1/jobs/{job_id}"
    gateway.script("GET", path, document(job(job_id)), document(end))
    sent = [("progress", {"stage": "Training", "total": 2, **step}, f"{i}-0") for i, step in enumerate(steps)]
    gateway.script("GET", f"{path}/events", events(*sent, ("end", {"reason": end["status"]}, "")))


def test_training_prints_its_id(gateway: ScriptedGateway, run: Run, photos: Path) -> None:
    (photos / "notes.md").write_text("no photo")
    gateway.script("POST", "/v1/train-jobs", document(job(status="Queued"), 202))
    options = ("--steps", "300", "--rank", "8", "--set", "training.minSnrGamma=5", "--sample", "sks dog, asleep")
    done = run(*TRAIN, str(photos), *options)
    assert (done.code, done.out) == (0, "train-a\n")
    assert "Sending 2 photos (3.5 KiB), with their masks to learn my-dog." in done.err
    assert "notes.md is left out" in done.err
    assert "darkroom job -f train-a" in done.err
    assert spec_of(gateway.requests[0].body) == {
        "modelId": "my-dog",
        "prompt": "a photo of sks dog",
        "maxSteps": 300,
        "training": {"maskedLoss": {}, "rank": 8, "validationPrompts": ["sks dog, asleep"], "minSnrGamma": 5},
    }


def test_spec_is_read_from_a_pipe(gateway: ScriptedGateway, run: Run) -> None:
    """As in: --spec <(envsubst < spec.yaml)"""
    gateway.script("POST", "/v1/generate-jobs", document(job(), 202))
    reading, writing = os.pipe()
    os.write(writing, b"images: {count: 3}")
    os.close(writing)

    assert run("generate", "a dog", "-d", "--spec", f"/dev/fd/{reading}").code == 0

    os.close(reading)
    assert gateway.requests[0].json == {"prompt": "a dog", "images": {"count": 3}}


def test_model_with_a_strength_below_0_is_sent_in_the_form_that_allows_it(gateway: ScriptedGateway, run: Run) -> None:
    gateway.script("POST", "/v1/generate-jobs", document(job(), 202))

    assert run("generate", "a dog", "-d", "--model", "blur:-0.5").code == 0

    sent = gateway.requests[0].json
    assert sent == {"prompt": "a dog", "loras": [{"modelId": "blur", "scale": -0.5}]}
    assert GenerateJobSpec.from_dict(sent).contradiction is None


def test_spec_of_a_file_is_overridden_by_options(gateway: ScriptedGateway, run: Run, tmp_path: Path) -> None:
    resource = tmp_path / "job.yaml"
    resource.write_text(
        "kind: TrainJob\nspec: {modelId: cat, prompt: a cat, maxSteps: 9, dataset: {uri: s3://cats/b/}}"
    )
    gateway.script("POST", "/v1/train-jobs", document(job(), 202))
    assert run("train", "--spec", str(resource), "--steps", "10", "--json").json["id"] == "train-a"
    expected = {"modelId": "cat", "prompt": "a cat", "maxSteps": 10, "dataset": {"uri": "s3://cats/b/"}}
    assert gateway.requests[0].json == expected


def test_followed_training_shows_lines_and_saves_samples(
    gateway: ScriptedGateway, run: Run, photos: Path, tmp_path: Path
) -> None:
    sample = "/v1/jobs/train-a/files/samples/train-a-step-00001-0.png?kind=TrainJob"
    lora = {"name": "lora.safetensors", "role": "lora", "url": "/lora", "bytes": 4}
    shown = {"name": "train-a-step-00001-0.png", "role": "sample", "url": "/never"}
    remark = {"reason": "PromptCut", "message": "The prompt was cut."}
    gateway.script("POST", "/v1/train-jobs", document(job(status="Queued"), 202))
    script_run(
        gateway,
        "train-a",
        job(status="Succeeded", artifacts=[shown, lora], remarks=[remark]),
        {
            "step": 1,
            "progress_percentage": 50.0,
            "metrics": {"loss": 0.08},
            "files": [sample, "/x/steps/1/a.safetensors"],
        },
        {"step": 2, "progress_percentage": 55.0},
    )
    gateway.script("GET", sample.partition("?")[0], content(b"sample"))
    gateway.script("GET", "/lora", content(b"lora"))

    done = run(*TRAIN, str(photos), "-o", str(tmp_path / "out"))

    assert done.code == 0
    assert done.out == f"{tmp_path}/out/train-a-step-00001-0.png\n{tmp_path}/out/lora.safetensors\n"
    assert "train-a: 50% Learning, step 1 of 2, loss 0.08\n" in done.err
    assert "55%" not in done.err
    assert done.err.index("PromptCut: The prompt was cut.") < done.err.index("train-a: Succeeded. 2 files in ")


def test_followed_training_ends_with_the_model_and_the_command_that_draws_with_it(
    gateway: ScriptedGateway, run: Run, photos: Path
) -> None:
    gateway.script("POST", "/v1/train-jobs", document(job(status="Queued"), 202))
    script_run(gateway, "train-a", job(status="Succeeded"), {"step": 1})
    done = run(*TRAIN, str(photos), "--base-model", "owner/name", "--follow")
    assert (done.code, done.out) == (0, "my-dog\n")
    draw = "darkroom generate 'a photo of sks dog' --model my-dog --base-model owner/name"
    assert done.err.endswith(f"Trained my-dog. Draw with it: {draw}\n")
    script_run(gateway, "train-a", job(status="Succeeded"), {"step": 1})
    as_json = run(*TRAIN, str(photos), "--follow", "--json")
    assert [record["event"] for record in as_json.records] == ["job", "progress", "job"]


def test_generation_saves_pictures_and_clip(gateway: ScriptedGateway, run: Run, tmp_path: Path) -> None:
    files = [
        {"name": name, "role": role, "url": f"/{name}", "bytes": 3}
        for name, role in (("generate-b-seed-7.png", "image"), ("generate-b.mp4", "video"))
    ]
    gateway.script("POST", "/v1/generate-jobs", document(job("generate-b"), 202))
    script_run(gateway, "generate-b", job("generate-b", "Succeeded", artifacts=files), {"step": 1})
    for each in files:
        gateway.script("GET", f"/{each['name']}", content(b"abc"))

    options = ("--size", "1024x768", "-n", "2", "--seed", "7", "--video", "--priority", "3")
    done = run("generate", "a dog", "-m", "my-dog:0.8", *options, "-o", str(tmp_path), "--json")

    assert [record["event"] for record in done.records] == ["job", "progress", "job", "saved", "saved"]
    assert done.records[-1]["path"] == f"{tmp_path}/generate-b.mp4"
    assert (tmp_path / "generate-b-seed-7.png").read_bytes() == b"abc"
    assert gateway.requests[0].json == {
        "prompt": "a dog",
        "allowMotion": True,
        "priority": 3,
        "images": {"count": 2, "width": 1024, "height": 768, "seed": 7},
        "modelId": "my-dog",
        "loraScale": 0.8,
    }


def test_several_models_and_a_start_picture(gateway: ScriptedGateway, run: Run, tmp_path: Path) -> None:
    (tmp_path / "start.png").write_bytes(b"picture")
    gateway.script("POST", "/v1/generate-jobs", document(job("generate-b"), 202))
    models = ("-m", "my-dog@200:0.8", "-m", "film-grain")
    picture = ("--image", str(tmp_path / "start.png"), "--strength", "0.5")
    done = run("generate", "a dog", *models, *picture, "--detach")
    assert done.out == "generate-b\n"
    assert b'name="image"; filename="start.png"' in gateway.requests[0].body
    assert spec_of(gateway.requests[0].body) == {
        "prompt": "a dog",
        "startImage": {"strength": 0.5},
        "loras": [{"modelId": "my-dog@200", "scale": 0.8}, {"modelId": "film-grain", "scale": 1.0}],
    }


def test_failed_job_exits_with_1_and_its_reason(gateway: ScriptedGateway, run: Run) -> None:
    error = {"reason": "ModelNotFound", "message": "No such model.", "advice": "Train it first."}
    gateway.script("POST", "/v1/generate-jobs", document(job("generate-b"), 202))
    script_run(gateway, "generate-b", job("generate-b", "Failed", error=error))
    done = run("generate", "a dog")
    assert done.code == 1
    assert done.err.endswith("darkroom: generate-b failed: No such model.\n  Train it first.\n")
    script_run(gateway, "generate-b", job("generate-b", "Failed", error=error))
    as_json = run("generate", "a dog", "--json")
    assert json.loads(as_json.err.splitlines()[-1])["error"]["reason"] == "ModelNotFound"


def test_interrupted_download_says_how_to_save_the_rest(
    gateway: ScriptedGateway, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(saver: Saver, ended: Job) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Saver, "save_artifacts", interrupted)
    gateway.script("POST", "/v1/generate-jobs", document(job("generate-b"), 202))
    script_run(gateway, "generate-b", job("generate-b", "Succeeded"))
    done = run("generate", "a dog")
    assert done.code == 130
    assert done.err.endswith("generate-b has ended. Save the rest with: darkroom download generate-b\n")


@pytest.mark.parametrize(
    ("job_id", "message"),
    [
        ("train-a", "Trained my-dog. Draw with it: darkroom generate 'a photo of sks dog' --model my-dog\n"),
        ("generate-b", "Save its files with: darkroom download generate-b\n"),
    ],
)
def test_followed_job_ends_with_the_next_command(gateway: ScriptedGateway, run: Run, job_id: str, message: str) -> None:
    script_run(gateway, job_id, job(job_id, "Succeeded"), {"step": 1})
    done = run("job", "-f", job_id)
    assert (done.code, done.out, done.err.splitlines(keepends=True)[-1]) == (0, "", message)


def test_deleted_job_exits_with_1(gateway: ScriptedGateway, run: Run) -> None:
    gateway.script("GET", "/v1/jobs/train-a", document(job()))
    gateway.script("GET", "/v1/jobs/train-a/events", events(("end", {"reason": "Deleted"}, "")))
    done = run("job", "-f", "train-a")
    assert (done.code, "train-a was deleted before its end" in done.err) == (1, True)


def test_lost_connection_is_reported_and_survived(gateway: ScriptedGateway, run: Run) -> None:
    gateway.script(
        "GET", "/v1/jobs/train-a", document(job()), document(job()), lost_connection, document(job(status="Succeeded"))
    )
    gateway.script("GET", "/v1/jobs/train-a/events", lost_connection)
    done = run("job", "-f", "train-a")
    assert done.code == 0
    assert "can't be reached" in done.err
    assert "Trying again for up to 10m; the job continues meanwhile.\nConnected again.\n" in done.err


def test_progress_of_the_past_is_not_shown_again(gateway: ScriptedGateway, run: Run) -> None:
    """The stream begins with what the run has reported so far."""
    at = {percent: f"2026-11-30T00:00:{percent}Z" for percent in (10, 40, 59)}
    now = {"stage": "Training", "total": 2, "progress_percentage": 40.0, "updated": at[40]}
    steps = ({"progress_percentage": float(percent), "updated": moment} for percent, moment in at.items())
    script_run(gateway, "train-a", job(status="Succeeded"), *steps)
    running = document(job(progress=now))
    gateway.script("GET", "/v1/jobs/train-a", running, running, document(job(status="Succeeded")))

    done = run("job", "-f", "train-a")

    assert re.findall(r"train-a: (\d+)%", done.err) == ["40", "59"]


def test_progress_of_another_run_is_shown_though_the_clock_of_its_node_is_behind(
    gateway: ScriptedGateway, run: Run
) -> None:
    before = {"stage": "Training", "progress_percentage": 80.0, "updated": "2026-11-30T00:01:00Z"}
    first, second = document(job(attempts=1, progress=before)), {"phase": "Running", "attempts": 2}
    after = {"stage": "Encoding", "progress_percentage": 5.0, "updated": "2026-11-30T00:00:30Z"}
    gateway.script("GET", "/v1/jobs/train-a", first, first, document(job(status="Succeeded", attempts=2)))
    sent = events(("status", second, ""), ("progress", after, "1-0"), ("end", {"reason": "Succeeded"}, ""))
    gateway.script("GET", "/v1/jobs/train-a/events", sent)

    done = run("job", "-f", "train-a")

    assert re.findall(r"train-a: (\d+)%", done.err) == ["80", "5"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "photos", "-p", "a dog"), "train needs --model."),
        (("train",), "train needs PHOTOS, --model, --prompt."),
        ((*TRAIN,), "train needs PHOTOS."),
        ((*TRAIN, "/nowhere"), "/nowhere does not exist."),
        (("generate", "a dog", "--image", "/nowhere.png"), "/nowhere.png does not exist."),
        (("generate", "a dog", "--size", "1024"), "'1024' is not a size such as 1024x768"),
        (
            ("generate", "a dog", "-m", "my-dog:high"),
            "in 'my-dog:high', 'high' is not a number from -2 to 2. Write a model",
        ),
        (("generate", "a dog", "--set", "rank"), "'rank' is not a field with a value"),
        (("generate", "a dog", "--spec", "/nowhere"), "/nowhere does not exist."),
        (("jobs", "--status", "sleeping"), "'sleeping' is none of Queued"),
    ],
)
def test_wrong_usage_exits_with_2_and_sends_nothing(gateway: ScriptedGateway, run: Run, words, message: str) -> None:
    done = run(*words)
    assert (done.code, gateway.requests) == (2, [])
    assert message in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "images.seed=.nan"), "images.seed is nan, which JSON does not have. Use a finite number."),
        (("--set", "images.seed=2024-01-01"), "images.seed is 2024-01-01, which JSON does not have."),
        (("--set", "loras={1: 2}"), "1 is not the name of a field of loras."),
        (("--negative", "\udcff"), "--negative is not text in UTF-8."),
    ],
)
def test_values_that_json_lacks_are_named(run: Run, words: tuple[str, str], message: str) -> None:
    done = run("generate", "a dog", *words)
    assert (done.code, message in done.err) == (2, True)


def test_argument_that_is_no_text_is_wrong_usage(run: Run) -> None:
    assert run("job", "train-\udcff").code == 2
