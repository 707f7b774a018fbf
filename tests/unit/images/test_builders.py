"""Images are named so that a node finds them, whichever program built them; a saved file is read before it is used."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "images"))

from builders import Builder, BuilderError, names_in, qualified  # noqa: E402 (scripts, no package)

RUNNER = "docker.io/library/darkroom-runner:1"


def write_archive(path: Path, *tags: str) -> None:
    """As docker, podman and buildah write it, as far as names go."""
    listed = json.dumps([{"Config": "1.json", "RepoTags": list(tags), "Layers": []}]).encode()
    with tarfile.open(path, "w") as file:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(listed)
        file.addfile(entry, io.BytesIO(listed))


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("darkroom-runner:1", RUNNER),
        ("library/darkroom-runner:1", RUNNER),
        (RUNNER, RUNNER),
        ("localhost/darkroom-runner:1", "localhost/darkroom-runner:1"),
        ("registry.example/darkroom/runner:1", "registry.example/darkroom/runner:1"),
        ("registry:5000/runner:1", "registry:5000/runner:1"),
    ],
)
def test_a_name_is_read_as_containerd_reads_it(name: str, full: str) -> None:
    assert qualified(name) == full


@pytest.mark.parametrize(("tag", "found"), [("darkroom-runner:1", RUNNER), ("localhost/d:1", "localhost/d:1")])
def test_an_archive_reports_its_image_name(tmp_path: Path, tag: str, found: str) -> None:
    write_archive(tmp_path / "a.tar", tag)
    assert names_in(tmp_path / "a.tar") == [found]


@pytest.mark.parametrize(
    ("builder", "command"),
    [
        ("docker", ["docker", "save", "--output", "/f.tar", RUNNER]),
        ("podman", ["podman", "save", "--format", "docker-archive", "--output", "/f.tar", RUNNER]),
        ("buildah", ["buildah", "push", "--quiet", RUNNER, f"docker-archive:/f.tar:{RUNNER}"]),
    ],
)
def test_every_builder_saves_under_the_full_name(builder: str, command: list[str]) -> None:
    assert Builder(builder).save_command(RUNNER, Path("/f.tar")) == command


PROGRAM = """#!{python}
import json, os, shutil, sys
with open({calls!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "save":
    shutil.copyfile({archive!r}, sys.argv[sys.argv.index("--output") + 1])
"""


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a program in podman's place, which writes down its calls and hands out `archive.tar`."""
    program = tmp_path / "bin" / "podman"
    program.parent.mkdir()
    archive, calls = str(tmp_path / "archive.tar"), str(tmp_path / "calls")
    program.write_text(PROGRAM.format(python=sys.executable, archive=archive, calls=calls))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return tmp_path


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def script(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(REPOSITORY / "images" / "build.py"), "--builder=podman", "--tag=1", *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_saved_file_with_another_name_is_refused(podman: Path) -> None:
    write_archive(podman / "archive.tar", "localhost/darkroom-runner:1")
    with pytest.raises(BuilderError, match=f"names localhost/darkroom-runner:1, and not {RUNNER}"):
        Builder("podman").save(RUNNER, podman / "out" / "runner.tar")


def test_save_images_writes_a_file_for_each(podman: Path) -> None:
    write_archive(podman / "archive.tar", RUNNER)
    (podman / "out").mkdir()
    (podman / "out" / "darkroom-runner-1.tar").write_text("of the last time")
    done = script("--save", str(podman / "out"), "runner")
    assert done.returncode == 0, done.stderr
    assert names_in(podman / "out" / "darkroom-runner-1.tar") == [RUNNER]


@pytest.mark.parametrize(
    ("prefix", "name"),
    [("", RUNNER), ("registry.example/darkroom", "registry.example/darkroom/darkroom-runner:1")],
)
def test_images_are_built_under_their_full_name(podman: Path, prefix: str, name: str) -> None:
    done = script("--prefix", prefix, "runner")
    assert done.returncode == 0, done.stderr
    [build] = [call for call in calls(podman) if call[0] == "build"]
    assert build[build.index("--tag") + 1] == name
