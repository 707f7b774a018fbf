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
ROOMS = {"gateway": {"contract", "gateway", "operator"}, "runner": {"contract", "runner"}}
COMMANDS = {"gateway": {"darkroom-gateway", "darkroom-operator"}, "runner": {"darkroom-runner"}}
OF_OLD_PYTHONS = {"async-timeout"}
"""aiohttp and redis want it before Python 3.11.3, which Debian's own is."""

INSTALLED = """
import importlib.metadata, json
print(json.dumps({each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}))
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


def listed(image: Image, folder: str) -> set[str]:
    return set(image.python(f"import json, os; print(json.dumps(os.listdir({folder!r})))"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    lines = [line for line in (REPOSITORY / file).read_text().splitlines() if line and not line.startswith("#")]
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


@pytest.fixture(scope="module")
def installed() -> Any:
    """Packages of an image with their versions, read once."""
    known: dict[str, dict[str, str]] = {}

    def installed(image: Image) -> dict[str, str]:
        if image.name not in known:
            known[image.name] = {normal(name): version for name, version in image.python(INSTALLED).items()}
        return known[image.name]

    return installed


def test_it_runs_as_nobody_in_particular(image: Image) -> None:
    assert image.config["User"] == USER
    assert image.python("import json, pwd, os; print(json.dumps(pwd.getpwuid(os.getuid()).pw_name))") == "nonroot"
    # No shell before the program: it gets signals itself.
    assert image.config["Cmd"] == [{"gateway": "darkroom-gateway", "runner": "darkroom-runner"}[part(image)]]
    assert not image.config.get("Entrypoint")


def test_labels_say_what_it_is(image: Image) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in image.config["Labels"].items()}
    assert labels["version"] == version
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["revision"])
    assert labels["licenses"] == "Apache-2.0"
    assert labels["dev.darkroom.sbom"] == SBOM
    assert {"title", "description", "created", "source", "base.name"} <= set(labels)


def test_it_has_its_own_rooms_and_commands_alone(image: Image) -> None:
    [site] = image.python("import json, sysconfig; print(json.dumps([sysconfig.get_path('purelib')]))")
    found = {name.removeprefix("darkroom_") for name in listed(image, site) if name.startswith("darkroom_")}
    assert found == ROOMS[part(image)]
    assert {name for name in listed(image, "/opt/venv/bin") if name.startswith("darkroom")} == COMMANDS[part(image)]


def test_every_package_is_the_one_of_the_constraints(image: Image, installed: Any) -> None:
    # setuptools is torch's; `pip freeze`, which makes the constraints, leaves it out.
    expected = pins("constraints.txt") | pins("images/cuda.txt")
    expected["setuptools"] = pins("images/tools.txt")["setuptools"]
    found = {name: version.removesuffix("+cpu") for name, version in installed(image).items()}
    ours = {name: version for name, version in found.items() if name not in {"darkroom", *OF_OLD_PYTHONS}}
    assert len(ours) > 20
    assert {name: version for name, version in ours.items() if version != expected.get(name)} == {}


def test_the_sbom_lists_what_is_installed(image: Image, installed: Any) -> None:
    sbom = image.python(f"import json; print(json.dumps(json.load(open({SBOM!r}))))")
    assert sbom["bomFormat"] == "CycloneDX"
    assert {normal(each["name"]): each["version"] for each in sbom["components"]} == installed(image)
    assert all(each["purl"].startswith("pkg:pypi/") for each in sbom["components"] if each["name"] != "darkroom")


def test_the_sbom_can_be_taken_out(image: Image, engine: Engine, tmp_path: Path) -> None:
    name, _, tag = image.name.partition(":")
    command = [sys.executable, REPOSITORY / "images" / "build.py", "--sbom", tmp_path, "--tag", tag, part(image)]
    subprocess.run([*command, "--builder", engine.name], check=True)
    taken = json.loads((tmp_path / f"{name}.cdx.json").read_text())
    assert taken == image.python(f"import json; print(json.dumps(json.load(open({SBOM!r}))))")


def test_nothing_is_left_of_the_build(image: Image) -> None:
    traces = ("/opt/tools", "/src", "/code", "/dist", "/images", "/etc/pip.conf", "/root/.cache", "/root/.config")
    program = f"import json, os; print(json.dumps([path for path in {traces} if os.path.lexists(path)]))"
    assert image.python(program) == []
    assert listed(image, "/opt") == {"venv"}
    files = "import json, os; print(json.dumps([os.path.join(a, f) for a, _, c in os.walk('/run') for f in c]))"
    assert not [path for path in image.python(files) if "secrets" in path or "packages" in path]
    assert not {"pip", "setuptools", "wheel"} & listed(image, "/opt/venv/bin")


def test_nothing_tells_how_pip_was_set_up(image: Image) -> None:
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    values = {word for line in lines for word in str(ast.literal_eval(line.partition("=")[2])).split() if "/" in word}
    told = image.history() + json.dumps(image.facts)
    assert "PIP_" not in told
    assert not {value for value in values if value in told}


def test_what_it_imports_is_compiled(image: Image, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    modules = {
        "gateway": "darkroom_gateway.main, darkroom_operator.main",
        "runner": "darkroom_runner.lifecycle, darkroom_runner.training.session, darkroom_runner.drawing",
    }
    volumes = {"/tmp": tmp_path, "/scratch": tmp_path}
    assert image.python(UNCOMPILED.format(modules=modules[part(image)]), writable=volumes) == []


def test_nothing_but_volumes_can_be_written(image: Image) -> None:
    program = """
import json, os
def writable(folder):
    try:
        os.close(os.open(os.path.join(folder, "x"), os.O_CREAT | os.O_WRONLY))
    except OSError:
        return False
    return True
print(json.dumps([each for each in ("/", "/tmp", "/opt/venv", "/scratch", "/var/tmp", "/run") if writable(each)]))
"""
    assert image.python(program) == []


def test_the_gateway_has_no_torch(gateway_image: Image, installed: Any) -> None:
    heavy = ("torch", "diffusers", "transformers", "peft", "accelerate", "numpy", "nvidia")
    assert not [name for name in installed(gateway_image) if name.startswith(heavy)]


def test_the_gateway_is_small(gateway_image: Image, base: str, engine: Engine) -> None:
    base_bytes = engine.image(base).bytes
    assert gateway_image.bytes - base_bytes + max(base_bytes, REAL_BASE_BYTES) < 250 * MB


def test_the_runner_holds_no_models(runner_image: Image) -> None:
    program = """
import json, os
found = [os.path.join(a, f) for a, _, c in os.walk("/") if not a.startswith(("/proc", "/sys")) for f in c]
weights = [each for each in found if each.endswith((".safetensors", ".ckpt", ".bin", ".pt", ".pth", ".onnx"))]
print(json.dumps([each for each in weights if os.path.getsize(each) > 1_000_000]))
"""
    assert runner_image.python(program) == []
