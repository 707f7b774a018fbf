"""A change of the code moves the last megabytes of an image, and nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.containers import Image

REPOSITORY = Path(__file__).resolve().parents[2]
MADE_FROM = ("images", "contract", "gateway", "operator", "runner")
FILES = ("Dockerfile.gateway", "Dockerfile.runner", ".dockerignore", "pyproject.toml")
SMALL = 4_000_000


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the images are made from."""
    for name in MADE_FROM:
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def test_changed_line_changes_only_small_layers(
    checkout: Path, build: Callable[..., Image], images: dict[str, Image]
) -> None:
    with (checkout / "runner" / "darkroom_runner" / "main.py").open("a") as file:
        file.write("\nANOTHER_LINE = 1\n")

    gateway, runner = (build(name, "test-changed", checkout) for name in ("gateway", "runner"))

    same = [old == new for old, new in zip(images["runner"].layers, runner.layers, strict=True)]
    moved = same.count(False)
    assert 1 <= moved <= 2
    assert same == [True] * (len(same) - moved) + [False] * moved
    assert sum(runner.layer_bytes()[:moved]) < SMALL
    # The gateway's image has no file of the runner's package.
    assert gateway.layers == images["gateway"].layers


@pytest.mark.skipif(not os.environ.get("TEST_TWICE"), reason="builds all again: set TEST_TWICE=1")
@pytest.mark.parametrize("name", ["gateway", "runner"])
def test_builds_are_reproducible(name: str, build: Callable[..., Image], request: pytest.FixtureRequest) -> None:
    before: Image = request.getfixturevalue(f"{name}_image")

    again = build(name, "test-again", REPOSITORY, "--no-cache")

    assert (again.layers, again.id) == (before.layers, before.id)
