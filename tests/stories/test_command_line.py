"""`darkroom train --follow` and `darkroom generate` as a person runs them: processes that know only the gateway."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from PIL import Image
from support.darkroom_up import PHOTOS, RUN_SECONDS, Darkroom


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


def run(darkroom: Darkroom, folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "HOME": str(folder), "DARKROOM_GATEWAY_URL": darkroom.url}
    command = [sys.executable, "-m", "darkroom_client", *shlex.split(line)]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done
