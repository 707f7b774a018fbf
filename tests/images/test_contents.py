"""What is in the images, and what must not be."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.containers import USER, Engine, Image

REPOSITORY = Path(__file__).resolve().parents[2]
SBOM = "/usr/share/darkroom/sbom.cdx.json"
MB = 1_000_000
REAL_BASE_BYTES = 135 * MB
"""What python:3.11-slim-bookworm takes at most, for the sum where a smaller stand-in is the base."""
ROOMS = {
    "gateway": {"darkroom_contract", "darkroom_gateway", "darkroom_operator"},
    "runner": {"darkroom_contract", "darkroom_runner"},
}
COMMANDS = {"gateway": {"darkroom-gateway", "darkroom-operator"}, "runner": {"darkroom-runner"}}
PIPELINES = (
    "stable_diffusion_xl.pipeline_stable_diffusion_xl",
    "stable_diffusion_xl.pipeline_stable_diffusion_xl_img2img",
    "stable_diffusion_xl.pipeline_stable_diffusion_xl_inpaint",
    "stable_video_diffusion.pipeline_stable_video_diffusion",
)
"""Imported when a job uses them."""
OF_OLD_PYTHONS = {"async-timeout"}
"""aiohttp and redis want it before Python 3.11.3, which Debian's own is."""

LOOK = """
import importlib.metadata, json, os, pwd, sysconfig

def can_write(folder):
    try:
        os.close(os.open(os.path.join(folder, "x"), os.O_CREAT | os.O_WRONLY))
    except OSError:
        return False
    return True

paths = [os.path.join(folder, file) for folder, folders, files in os.walk("/") for file in files
         if not folder.startswith(("/proc", "/sys", "/dev"))]
print(json.dumps({
    "user": pwd.getpwuid(65532).pw_name,
    "packages": {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()},
    "modules": os.listdir(sysconfig.get_path("purelib")),
    "commands": os.listdir("/opt/venv/bin"),
    "sbom": json.load(open("/usr/share/darkroom/sbom.cdx.json")),
    "folders": [path for path in ("/opt/tools", "/src", "/code", "/dist", "/root/.cache", "/root/.config")
                if os.path.lexists(path)] + [os.path.join("/opt", name) for name in os.listdir("/opt")],
    "settings": [path for path in paths if path.endswith("/pip.conf") or path.startswith("/run/secrets/")],
    "weights": [path for path in paths
                if path.endswith((".safetensors", ".ckpt", ".bin", ".pt", ".pth", ".onnx"))
                and os.path.getsize(path) > 1_000_000],
    "shared": os.listdir("/opt/venv/share/darkroom") if os.path.isdir("/opt/venv/share/darkroom") else [],
    "writable": [path for path in ("/", "/tmp", "/opt/venv", "/scratch", "/var/tmp", "/run") if can_write(path)],
}))
"""
UNCOMPILED = """
import importlib.util, json, os, sys, {modules}
files = [getattr(each, "__file__", None) or "" for each in list(sys.modules.values())]
ours = [each for each in files if each.startswith("/opt/venv") and each.endswith(".py")]
assert len(ours) > 100
print(json.dumps([each for each in ours if not os.path.exists(importlib.util.cache_from_source(each))]))
"""


def part(image: Image) -> str:
    return "gateway" if "gateway" in image.name else "runner"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    lines = [line.split()[0] for line in (REPOSITORY / file).read_text().splitlines() if line[:1].isalnum()]
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


@pytest.fixture(scope="module")
def looked(images: dict[str, Image]) -> dict[str, Any]:
    """What was seen within each image, by a program that ran in it; as root, who may look everywhere."""
    return {image.name: image.python(LOOK, user="0:0") for image in images.values()}


@pytest.fixture
def inside(image: Image, looked: dict[str, Any]) -> Any:
    return looked[image.name]


def versions(inside: Any) -> dict[str, str]:
    return {normal(name): version for name, version in inside["packages"].items()}


def test_it_runs_as_an_unprivileged_user(image: Image, inside: Any) -> None:
    assert image.config["User"] == USER
    assert inside["user"] == "nonroot"
    # No shell before the program: it gets signals itself.
    assert image.config["Cmd"] == [{"gateway": "darkroom-gateway", "runner": "darkroom-runner"}[part(image)]]
    assert not image.config.get("Entrypoint")


def test_labels_describe_the_image(image: Image) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in image.config["Labels"].items()}
    assert labels["version"] == version
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["revision"])
    assert labels["licenses"] == "Apache-2.0"
    assert labels["dev.darkroom.sbom"] == SBOM
    assert {"title", "description", "created", "source", "base.name"} <= set(labels)


def test_only_its_own_packages_and_commands_are_installed(image: Image, inside: Any) -> None:
    assert {name for name in inside["modules"] if name.startswith("darkroom_")} == ROOMS[part(image)]
    assert {name for name in inside["commands"] if name.startswith("darkroom")} == COMMANDS[part(image)]


def test_every_package_is_the_one_of_the_lock(image: Image, inside: Any) -> None:
    """And so of constraints.txt: tests/unit/images/test_locks.py."""
    locks = {"gateway": ["gateway"], "runner": ["runner", "torch-cpu"]}[part(image)]
    expected = {name: version for lock in locks for name, version in pins(f"images/locks/{lock}.txt").items()}
    ours = {name: version for name, version in versions(inside).items() if name != "darkroom"}
    assert len(ours) > 20
    assert {name: version for name, version in ours.items() if version != expected.get(name)} == {}


def test_the_sbom_lists_what_is_installed(inside: Any) -> None:
    sbom = inside["sbom"]
    assert sbom["bomFormat"] == "CycloneDX"
    assert {normal(each["name"]): each["version"] for each in sbom["components"]} == versions(inside)
    assert all(each["purl"].startswith("pkg:pypi/") for each in sbom["components"] if each["name"] != "darkroom")


def test_the_sbom_can_be_taken_out(image: Image, inside: Any, engine: Engine, tmp_path: Path) -> None:
    tag = image.name.rpartition(":")[2]
    command = [sys.executable, REPOSITORY / "images" / "build.py", "--sbom", tmp_path, "--tag", tag, part(image)]
    subprocess.run([*command, "--builder", engine.name], check=True)
    taken_out = tmp_path / f"darkroom-{part(image)}.cdx.json"
    assert json.loads(taken_out.read_text()) == inside["sbom"]


def test_nothing_is_left_of_the_build(inside: Any) -> None:
    assert inside["folders"] == ["/opt/venv"]
    assert inside["settings"] == []
    assert not {"pip", "setuptools", "wheel"} & set(inside["commands"])


def test_pip_configuration_is_not_in_the_image(image: Image) -> None:
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    values = {word for line in lines for word in str(ast.literal_eval(line.partition("=")[2])).split() if "/" in word}
    text = image.history() + json.dumps(image.inspected)
    assert "PIP_" not in text
    assert not {value for value in values if value in text}


def test_all_imported_modules_are_compiled(image: Image, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    modules = {
        "gateway": ["darkroom_gateway.main", "darkroom_operator.main"],
        "runner": [
            *(f"darkroom_runner.{name}" for name in ("lifecycle", "training.session", "tasks.image_to_video")),
            *(f"diffusers.pipelines.{name}" for name in PIPELINES),
        ],
    }
    volumes = {"/tmp": tmp_path, "/scratch": tmp_path}
    assert image.python(UNCOMPILED.format(modules=", ".join(modules[part(image)])), writable=volumes) == []


def test_runner_has_the_index_of_its_transformers(runner_image: Image, looked: dict[str, Any]) -> None:
    inside = looked[runner_image.name]
    assert inside["shared"] == [f"transformers-{versions(inside)['transformers']}.json"]


def test_only_volumes_are_writable(inside: Any) -> None:
    assert inside["writable"] == []


def test_it_holds_no_models(inside: Any) -> None:
    assert inside["weights"] == []


def test_the_gateway_has_no_torch(gateway_image: Image, looked: dict[str, Any]) -> None:
    heavy = ("torch", "diffusers", "transformers", "peft", "accelerate", "numpy", "nvidia")
    assert not [name for name in versions(looked[gateway_image.name]) if name.startswith(heavy)]


def test_the_gateway_is_small(gateway_image: Image, base: str, engine: Engine) -> None:
    base_bytes = engine.image(base).bytes
    assert gateway_image.bytes - base_bytes + max(base_bytes, REAL_BASE_BYTES) < 260 * MB
