"""What `make images` takes from the machine that builds: how pip is set up, and where the checkout came from."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def pip_settings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(REPOSITORY / "images"))
    return importlib.import_module("pip_settings")


@pytest.fixture
def build_script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(REPOSITORY / "images"))
    return importlib.import_module("build")


def test_the_environment_wins_as_it_does_in_pip(pip_settings: ModuleType) -> None:
    listing = "\n".join(
        [
            ":env:.index-url='https://env.example/simple'",
            "global.index-url='https://file.example/simple'",
            "install.trusted-host='file.example'",
            "global.constraint='/etc/constraints.txt'",
            "global.extra-index-url='https://a.example\\nhttps://b.example'",
        ]
    )
    assert pip_settings.chosen(listing) == {
        "index-url": "https://env.example/simple",
        "trusted-host": "file.example",
        "extra-index-url": "https://a.example\nhttps://b.example",
    }


def test_folders_are_seen_under_other_names(pip_settings: ModuleType, tmp_path: Path) -> None:
    index, wheels = tmp_path / "mirror" / "simple", tmp_path / "wheels"
    index.mkdir(parents=True)
    wheels.mkdir()
    settings = {"extra-index-url": f"https://a.example file://{index}", "find-links": str(wheels), "timeout": "9"}

    read, folders = pip_settings.inside(settings)

    # The pages of an index name files that lie beside it.
    assert folders == {index.parent: "/run/packages/0", wheels: "/run/packages/1"}
    assert read == {
        "extra-index-url": "https://a.example\nfile:///run/packages/0/simple",
        "find-links": "/run/packages/1",
        "timeout": "9",
    }


def test_pip_reads_the_file(pip_settings: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:pass%20word@index.example/simple")

    settings = pip_settings.read_pip_settings(tmp_path)

    file = settings.secrets["pip"]
    assert file.stat().st_mode & 0o777 == 0o600
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    command = [sys.executable, "-m", "pip", "config", "list"]
    read = subprocess.run(command, env=environment | {"PIP_CONFIG_FILE": str(file)}, capture_output=True, text=True)
    assert "global.index-url='https://user:pass%20word@index.example/simple'" in read.stdout.splitlines()


@pytest.mark.parametrize(
    ("remote", "label"),
    [
        ("https://user:token@git.example:8443/darkroom.git?x=1", "https://git.example:8443/darkroom.git"),
        ("https://git.example/darkroom", "https://git.example/darkroom"),
        ("/srv/checkouts/darkroom", ""),
        ("git@git.example:darkroom.git", ""),
        ("", ""),
    ],
)
def test_label_has_no_password_and_no_path(build_script: ModuleType, remote: str, label: str) -> None:
    assert build_script.public_address(remote) == label


def test_without_a_builder_it_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "images" / "build.py"), "gateway"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "none of docker, podman, buildah works on this machine" in done.stderr
    assert "apt install podman" in done.stderr
