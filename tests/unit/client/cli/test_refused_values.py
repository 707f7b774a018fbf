"""Values that can't be right are refused before anything is announced or sent, in words that say what is wanted."""

import json
import os
from pathlib import Path

import pytest
from support.scripted_gateway import ScriptedGateway, document, job

from darkroom_client.cli.names import suggested_name
from darkroom_client.cli.parser import make_parser

from .conftest import Run

PHOTOS = object()
"""Stands for a folder of photos."""
TRAIN = ("train", PHOTOS, "-m", "my-dog", "-p", "a photo of sks dog")
RULE = "use letters, digits, '.', '_' and '-', at most 63, with a letter or digit at both ends."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*TRAIN, "--steps", "abc"), "--steps: 'abc' is not a whole number from 1 to 20000."),
        ((*TRAIN, "--steps", "20001"), "--steps: '20001' is not a whole number from 1 to 20000."),
        ((*TRAIN, "--steps", "1.5"), "--steps: '1.5' is not a whole number from 1 to 20000."),
        ((*TRAIN, "--steps"), "--steps needs a value."),
        ((*TRAIN, "--rank", "257"), "--rank: '257' is not a whole number from 1 to 256."),
        ((*TRAIN, "--resolution", "777"), "--resolution: '777' is not a multiple of 8 from 64 to 2048."),
        ((*TRAIN, "--learning-rate", ""), "--learning-rate: '' is not a number from 0.00000001 to 10."),
        ((*TRAIN, "--priority", "1e3"), "--priority: '1e3' is not a whole number from -1000 to 1000."),
        ((*TRAIN, "--sample", " "), "--sample: the text is empty."),
        ((*TRAIN, "--base-model", "/models/sdxl"), "--base-model: '/models/sdxl' is not a base model: use owner/name"),
        ((*TRAIN, "--dataset", ""), "--dataset: '' is not a folder in object storage, such as s3://bucket/folder/."),
        ((*TRAIN, "--dataset", "s3://bucket/dogs/"), "Both PHOTOS and a dataset are given."),
        ((*TRAIN, "--spec", ""), "--spec: the path is empty. Give a file."),
        ((*TRAIN, "-o", ""), "--output: the path is empty. For this folder write a dot: ."),
        (("train", "", "-m", "a", "-p", "b"), "PHOTOS: the path is empty."),
        (
            ("train", PHOTOS, "-p", "b", "-m", "My Star"),
            f"'My Star' is not a name for a model: {RULE} Did you mean my-star?",
        ),
        (("train", PHOTOS, "-p", "b", "-m", "a@5"), f"--model: 'a@5' is not a name for a model: {RULE}"),
        (("train", PHOTOS, "-m", "a", "-p", " "), "--prompt: the text is empty. Write some words, in quotes."),
        (("generate", ""), "PROMPT: the text is empty."),
        (("generate", "a", "--guidance", "abc"), "--guidance: 'abc' is not a number from 0 to 30."),
        (("generate", "a", "--guidance", "200"), "--guidance: '200' is not a number from 0 to 30."),
        (("generate", "a", "--guidance", "nan"), "--guidance: 'nan' is not a number from 0 to 30."),
        (("generate", "a", "--count", "9"), "--count: '9' is not a whole number from 0 to 8."),
        (
            ("generate", "a", "--size", "99999x8"),
            "'99999x8' is not a size such as 1024x768, of two multiples of 8 from 64",
        ),
        (("generate", "a", "--size", "1000x"), "--size: '1000x' is not a size such as 1024x768"),
        (("generate", "a", "--strength", "2"), "--strength: '2' is not a number from 0.05 to 1."),
        (("generate", "a", "--strength", "0.5"), "--strength needs --image, the picture that the prompt changes."),
        (("generate", "a", "--scheduler", "foo"), "--scheduler: 'foo' is none of DDIM, DPM++, Euler,"),
        (
            ("generate", "a", "-m", "My Star"),
            f"--model: 'My Star' is not the name of a model: {RULE} Did you mean my-star?",
        ),
        (
            ("generate", "a", "-m", "star@last"),
            "--model: 'last' is not a saved step: use its number or best, such as star@200.",
        ),
        (("generate", "a", "-m", "star:9"), "in 'star:9', '9' is not a number from -2 to 2."),
        (("generate", "a", "--follow", "--detach"), "--detach can't be used together with --follow."),
        (("generate", "a", "--image", ""), "--image: the path is empty. Give a file."),
        (("generate", "a", "--mask", "{photo}"), "--mask needs --image, the picture that is painted on."),
        (
            ("generate", "a", "--video-image", "{photo}"),
            "--video-image needs --video: without a clip it has no effect.",
        ),
        (("generate", "a", "--image", "{folder}"), "{folder} is a folder. Give a file."),
        (("generate", "a", "--image", "{empty}"), "{empty} is empty."),
        (("generate", "a", "--spec", "{folder}"), "{folder} is a folder. Give a file."),
        (("generate", "a", "--spec", "{photo}"), "{photo} is not a text file in UTF-8. A spec is YAML or JSON."),
        (
            ("generate", "a", "--spec", "{empty}"),
            "{empty} has no spec. Write fields with values, such as: maxSteps: 300",
        ),
        (("jobs", "--by", "x y"), f"--by: 'x y' is not the name of an API key: {RULE}"),
        (("jobs", "-q", ""), "--query: the text is empty."),
        (("job", ""), "ID: '' is not the id of a job. List the jobs with: darkroom jobs."),
        (("rm", "Foo Bar"), "ID: 'Foo Bar' is not the id of a job."),
        (("priority", "train-a", "abc"), "N: 'abc' is not a whole number from -1000 to 1000."),
        (("models", "rm", ""), "ID: '' is not the name of a model"),
        (("models", "import", "{folder}"), "{folder} is a folder. Give a file."),
        (
            ("models", "import", "https://example.com/a.safetensors"),
            "A LoRA is not read from a web address. Download it and give the path",
        ),
        (
            ("models", "import", "{lora}"),
            "My File.safetensors does not give the model a name. Give it one, such as: --model my-file",
        ),
        (("completion", "foo"), "SHELL: 'foo' is none of bash, zsh, fish."),
        (("--limit", "4"), "There is no option --limit."),
        (("--gateway", "http://127.0.0.1", "--limit", "4", "jobs"), "There is no option --limit."),
        (("models", "--limit", "4", "show", "star"), "models has no option --limit."),
        (("train", "a" * 300, "-m", "a", "-p", "b"), "aaa can't be read: File name too long."),
        (("generate", "a", "--image", "a" * 300), "aaa can't be read: File name too long."),
    ],
)
def test_value_that_can_not_be_right_is_refused_before_anything_is_sent(
    gateway: ScriptedGateway, run: Run, photos: Path, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    places = {"folder": photos, "photo": next(photos.glob("*.jpg")), "empty": tmp_path / "empty.png"}
    places["empty"].touch()
    places["lora"] = tmp_path / "My File.safetensors"
    places["lora"].write_bytes(b"LoRA")

    done = run(*(str(photos) if each is PHOTOS else str(each).format(**places) for each in words))

    assert done.err.splitlines()[0].startswith("darkroom: ")
    assert message.format(**places) in done.err.splitlines()[0]
    assert (done.code, gateway.requests) == (2, [])


SET = "--set"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*TRAIN, SET, "training.rank=0"), "training.rank is 0: use at least 1."),
        ((*TRAIN, SET, "training.rank=abc"), "training.rank is abc: use a whole number."),
        ((*TRAIN, SET, "training.rnk=4"), "training.rnk: Remove it or correct its name: there is no such field. Did"),
        ((*TRAIN, SET, "training.initialLora={}"), "training.initialLora"),
        (("train", "--spec", "{spec}", "-p", "a"), "dataset.uri: Use a folder of a bucket: s3://bucket/folder/."),
        (("generate", "a", SET, "images.count=9"), "images.count is 9: use at most 8."),
        (("generate", "a", SET, "images=5"), "images is 5: use an object."),
        (("generate", "a", SET, "cache.profile=Quick"), "cache.profile is Quick: use 'Disabled', 'Quality'"),
        (
            ("generate", "a", "-m", "a", SET, "loras=[{modelId: b}]"),
            "is the short form of loras: set only one of",
        ),
        (("generate", "a", "--mask", "{photo}", SET, "startImage.uri=5"), "startImage.uri is 5: use a valid string."),
    ],
)
def test_field_that_can_not_be_right_is_refused_before_anything_is_sent(
    gateway: ScriptedGateway, run: Run, photos: Path, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("modelId: dog\ndataset: {uri: bucket/dogs}\n")
    places = {"photo": next(photos.glob("*.jpg")), "spec": spec}
    words = tuple(photos if each is PHOTOS else places.get(str(each).strip("{}"), each) for each in words)

    done = run(*map(str, words))

    assert message in done.err.splitlines()[0]
    assert (done.code, gateway.requests) == (2, [])


def test_several_fields_that_can_not_be_right_are_listed(gateway: ScriptedGateway, run: Run) -> None:
    words = ("generate", "a", SET, "images.count=9", SET, "images.stps=3")
    done = run(*words)

    assert done.err.splitlines()[0] == "darkroom: This can't be sent, for 2 reasons:"
    assert "  images.count is 9: use at most 8." in done.err.splitlines()
    assert "Did you mean steps?" in done.err
    error = json.loads(run(*words, "--json").err)["error"]
    assert (error["reason"], error["exit_code"]) == ("InvalidSpec", 2)
    assert {each["parameter"] for each in error["errors"]} == {"images.count", "images.stps"}
    assert gateway.requests == []


def test_field_that_only_a_newer_gateway_may_know_is_sent(gateway: ScriptedGateway, run: Run) -> None:
    gateway.script("POST", "/v1/generate-jobs", document(job(), 202))

    assert run("generate", "a", "-d", SET, "watermark.text=me").code == 0
    assert gateway.requests[0].json["watermark"] == {"text": "me"}


def test_fields_that_files_fill_in_are_not_missed(gateway: ScriptedGateway, run: Run, photos: Path) -> None:
    gateway.script("POST", "/v1/generate-jobs", document(job(), 202))
    picture = str(next(photos.glob("*.jpg")))

    assert run("generate", "a", "-d", "--image", picture, "--mask", picture, "--strength", "0.5").code == 0
    done = run("generate", "a", "-d", SET, "startImage.strength=0.5")
    assert done.err.startswith("darkroom: --image: it is required")


def test_folder_that_can_not_be_written_is_refused_before_photos_are_announced(run: Run, photos: Path) -> None:
    (photos / "a-file").touch()
    done = run(*(str(photos) if each is PHOTOS else str(each) for each in TRAIN), "-o", str(photos / "a-file"))

    assert done.err.startswith(f"darkroom: {photos / 'a-file'} can't be written: it is not a folder.")


def test_number_is_sent_as_it_was_typed(gateway: ScriptedGateway, run: Run) -> None:
    gateway.script("POST", "/v1/generate-jobs", document(job(), 202))

    assert run("generate", "a", "-d", "--guidance", "20", "--scheduler", "dpm++", "--size", "64x128").code == 0

    images = gateway.requests[0].json["images"]
    assert images == {"guidanceScale": 20, "scheduler": "DPM++", "width": 64, "height": 128}
    assert isinstance(images["guidanceScale"], int)


def test_photo_that_can_not_be_read_is_wrong_usage(run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    done = run(*(str(photos) if each is PHOTOS else str(each) for each in TRAIN))

    assert done.code == 2
    assert "can't be read: you have no permission." in done.err


@pytest.mark.parametrize(
    ("text", "name"),
    [("My Star", "my-star"), ("Bär.", "bar"), ("_x_", "x"), ("日本", None), ("", None), ("A" * 70, "a" * 63)],
)
def test_suggested_name_is_one_that_a_model_can_have(text: str, name: str | None) -> None:
    assert suggested_name(text) == name
    if name is not None:
        assert make_parser().parse_args(["jobs", "--model", name]).model == name
