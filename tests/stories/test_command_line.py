"""`darkroom train --follow` and `darkroom generate` as a person runs them: processes that know only the gateway."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from support.darkroom_up import PHOTOS, RUN_SECONDS, Darkroom, wait_for


def test_model_is_trained_and_used_by_two_commands(darkroom: Darkroom, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in PHOTOS[:3]:
        (photos / photo.name).symlink_to(photo)

    trained = run(
        darkroom, tmp_path, "train photos -m cli-star -p 'a photo of sks star' --steps 4 --rank 4 --follow -o lora"
    )
    drawn = run(darkroom, tmp_path, "generate 'a photo of sks star' -m cli-star --steps 4 --seed 11 -o out")

    assert "Succeeded" in trained.stderr
    draw = "darkroom generate 'a photo of sks star' --model cli-star"
    assert trained.stderr.endswith(f"Trained cli-star. Draw with it: {draw}\n")
    assert any(line.endswith(".safetensors") for line in trained.stdout.splitlines())
    [picture] = drawn.stdout.splitlines()
    with Image.open(tmp_path / picture) as image:
        assert image.size == (128, 128)
    assert Path(picture).name.endswith("-seed-11.png")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [Path(picture).name]


def test_pictures_are_saved_and_listed_while_the_others_are_drawn(darkroom: Darkroom, tmp_path: Path) -> None:
    line = "generate 'a red circle' -n 5 --steps 60 --seed 7 --set images.previewSteps=0 --json -o out"
    with started(darkroom, tmp_path, line) as records:
        seen = [next(records)]
        while seen[-1]["event"] != "saved":
            seen.append(next(records))
        job_id = seen[0]["job"]["id"]
        early = finished_pictures(darkroom, job_id)
        seen += records

    events = [each.get("job", {}).get("status", each["event"]) for each in seen]
    job = darkroom.http.get(f"/v1/jobs/{job_id}").json()
    names = [f"{job_id}-seed-{seed}.png" for seed in range(7, 12)]
    assert [each["name"] for each in job["artifacts"]] == names
    assert events.index("saved") < events.index("Succeeded")
    # Each is saved once, in the order in which they are finished, and arrived undamaged.
    assert [each["name"] for each in seen if each["event"] == "saved"] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    for artifact in job["artifacts"]:
        assert sha256(tmp_path / "out" / artifact["name"]) == artifact["sha256"]
    assert [without_link(each) for each in early] == [without_link(each) for each in job["artifacts"]][: len(early)]


def finished_pictures(darkroom: Darkroom, job_id: str) -> list[dict[str, Any]]:
    """The artifacts of a job that still runs, each of which can be downloaded."""
    answers: list[dict[str, Any]] = []

    def lists_some() -> bool:
        answers.append(darkroom.http.get(f"/v1/jobs/{job_id}").json())
        assert answers[-1]["status"] == "Running", "it ended before a picture was listed"
        return bool(answers[-1]["artifacts"])

    wait_for(lists_some, "a picture of the running job")
    found: list[dict[str, Any]] = answers[-1]["artifacts"]
    for each in found:
        content = httpx.get(each["url"], trust_env=False).content
        assert hashlib.sha256(content).hexdigest() == each["sha256"]
    return found


def without_link(artifact: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in artifact.items() if name not in ("url", "expires")}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def arguments(darkroom: Darkroom, folder: Path, line: str) -> dict[str, Any]:
    """Of a process of the command."""
    return {
        "args": [sys.executable, "-m", "darkroom_client", *shlex.split(line)],
        "cwd": folder,
        "env": {"PATH": os.defpath, "HOME": str(folder), "DARKROOM_GATEWAY_URL": darkroom.url},
        "stdin": subprocess.DEVNULL,
        "text": True,
    }


def run(darkroom: Darkroom, folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(**arguments(darkroom, folder, line), capture_output=True, timeout=RUN_SECONDS)
    assert done.returncode == 0, done.stderr
    return done


@contextmanager
def started(darkroom: Darkroom, folder: Path, line: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines of JSON that a command prints, as it prints them. It must end well."""
    with (
        (folder / "stderr").open("w+") as errors,
        subprocess.Popen(**arguments(darkroom, folder, line), stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            assert process.stdout is not None
            yield map(json.loads, process.stdout)
            assert process.wait(RUN_SECONDS) == 0, (folder / "stderr").read_text()
        finally:
            process.kill()
