"""The commands of the README work as printed, and `darkroom demo` makes a picture and a video."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from support.darkroom_up import BIN, REPOSITORY, Darkroom

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def script(heading: str) -> str:
    """The shell blocks of a section, without its exports: the tests have a cluster of their own."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = "".join(re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)).splitlines()
    return "\n".join(line for line in lines if not line.startswith("export "))


@pytest.fixture(scope="module")
def shell(darkroom: Darkroom) -> dict[str, str]:
    """The environment of the terminal, as the README's exports and this cluster's address make it."""
    return {
        "GATEWAY": darkroom.url,
        "DARKROOM_GATEWAY_URL": darkroom.url,
        "KUBECONFIG": str(darkroom.state_dir / "kubeconfig"),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(darkroom.state_dir),
    }


def test_every_command_of_the_readme_works(darkroom: Darkroom, shell: dict[str, str], tmp_path: Path) -> None:
    commands = script("Use it").replace(".venv/bin/", f"{BIN}/").replace("curl ", "curl --fail-with-body -sS ")
    assert len(commands.splitlines()) >= 15
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    done = subprocess.run(
        ["bash", "-xeo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env=shell,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert "event: end" in done.stdout
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.format == "PNG"
    for job in darkroom.http.get("/jobs").json()["jobs"]:
        darkroom.wait_for_phase(job["task_id"], "Succeeded", "Failed", seconds=240)
    darkroom.kubectl("delete", "-f", "examples/generate.yaml", "-f", "examples/generate-motion.yaml")


def test_make_help_lists_the_commands() -> None:
    output = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for command in ("demo", "up", "test", "check", "generate", "conformance", "bench"):
        assert f"make {command} " in output


def test_demo_leaves_only_a_picture_and_a_video(tmp_path: Path) -> None:
    output = tmp_path / "output"
    command = [BIN / "darkroom", "demo", "--output", output, "--max-steps", "5"]
    done = subprocess.run(
        [str(part) for part in command], cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert str(output) in text
    assert "trainjob.darkroom.dev/" in text
    assert "generatejob.darkroom.dev/" in text
    [picture] = output.glob("*.png")
    with Image.open(picture) as image:
        assert image.size == (128, 128)
    assert [path.suffix for path in output.glob("*.mp4")] == [".mp4"]
