"""Every package of the images is pinned with hashes, at the versions that the tests ran with; their bases by digest."""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "images"))

from build import torch_arguments  # noqa: E402 (scripts, no package)
from builders import BuilderError  # noqa: E402
from pin import BASE, manifest_digest, pin  # noqa: E402

IMAGES = REPOSITORY / "images"
LOCKS = {path.stem: path for path in (IMAGES / "locks").glob("*.txt")}
ALL = [*LOCKS.values(), IMAGES / "tools.txt"]
DOCKERFILES = [REPOSITORY / f"Dockerfile.{name}" for name in ("gateway", "runner")]
ENTRY = re.compile(
    r"(?P<pin>[a-z0-9.-]+==\S+)(?P<marker> ; [^\\]+)? \\\n(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
)
CUDA = ("cuda-", "nvidia-", "triton")
ON_LINUX = {**default_environment(), "sys_platform": "linux", "platform_machine": "x86_64"}


def body(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def pins(path: Path) -> dict[str, str]:
    """The version of each package."""
    return dict(each["pin"].split("==") for each in ENTRY.finditer(body(path)))


def constraints() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in found}


def needed(*extras: str) -> set[str]:
    """All that these extras of ours need on Linux, as the installed packages say it."""
    done: set[str] = set()
    todo = [Requirement(f"darkroom[{','.join(extras)}]")]
    while todo:
        asked = todo.pop()
        key = str(canonicalize_name(asked.name)) + str(sorted(asked.extras))
        if key in done:
            continue
        done.add(key)
        todo += _requirements(asked)
    return {re.sub(r"\[.*", "", key) for key in done} - {"darkroom"}


def _requirements(asked: Requirement) -> Iterator[Requirement]:
    for line in importlib.metadata.requires(asked.name) or []:
        requirement = Requirement(line)
        environments = [{**ON_LINUX, "extra": extra} for extra in ("", *asked.extras)]
        if requirement.marker is None or any(requirement.marker.evaluate(each) for each in environments):
            yield requirement


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_line_is_an_exact_version_with_hashes(path: Path) -> None:
    assert ENTRY.sub("", body(path)) == ""
    assert len(pins(path)) >= 10


@pytest.mark.parametrize("path", LOCKS.values(), ids=lambda path: path.stem)
def test_versions_are_those_that_the_tests_ran_with(path: Path) -> None:
    known = constraints()
    found = {name: version.partition("+")[0] for name, version in pins(path).items()}
    assert {name: version for name, version in found.items() if known.get(name, version) != version} == {}
    assert len(found.keys() & known.keys()) >= 9


def test_nothing_is_missing_that_an_image_needs() -> None:
    assert needed("gateway", "operator", "tracing") - pins(LOCKS["gateway"]).keys() == set()
    assert needed("runner", "c2pa", "tracing") - pins(LOCKS["runner"]).keys() - pins(LOCKS["torch-cpu"]).keys() == set()


def test_no_package_has_two_versions_in_an_image() -> None:
    assert pins(LOCKS["runner"]).keys() & pins(LOCKS["torch"]).keys() == set()


def test_builds_of_torch_differ_in_torch_and_cuda_alone() -> None:
    cuda, cpu = (pins(LOCKS[name]) for name in ("torch", "torch-cpu"))
    assert cpu["torch"] == f"{cuda['torch']}+cpu"
    assert {name: version for name, version in cuda.items() if not name.startswith(CUDA)} == {
        **cpu,
        "torch": cuda["torch"],
    }
    assert any(name.startswith(CUDA) for name in cuda)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.suffix)
def test_every_installation_of_others_packages_asks_for_hashes(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    installations = re.findall(r"install\.sh /opt/\w+/bin/python [^&]*", text)
    assert len(installations) >= 2
    assert [each for each in installations if not {"--no-deps", "--require-hashes"} <= set(each.split())] == []
    assert "pip install" not in text
    # Our own wheel, which was made a line before; no index is asked.
    assert "--no-deps --no-index" in (IMAGES / "code.sh").read_text(encoding="utf-8")


def test_pip_refuses_a_file_of_another_hash(tmp_path: Path) -> None:
    """What the option is for, with the pip that is here."""
    (tmp_path / "six-1.17.0-py3-none-any.whl").write_bytes(b"not what was locked")
    entry = next(each.group() for each in ENTRY.finditer(body(LOCKS["gateway"])) if each["pin"] == "six==1.17.0")
    (tmp_path / "lock.txt").write_text(entry)
    command = [sys.executable, "-m", "pip", "download", "--no-index", "--no-deps", "--require-hashes"]
    command += ["--find-links", str(tmp_path), "--dest", str(tmp_path / "out"), "-r", str(tmp_path / "lock.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_both_images_use_one_base_pinned_by_digest() -> None:
    found = {path.name: BASE.search(path.read_text(encoding="utf-8")) for path in DOCKERFILES}
    assert all(found.values())
    assert len({each.group() for each in found.values() if each}) == 1
    for path in DOCKERFILES:
        froms = re.findall(r"^FROM (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(froms) <= {"${BASE}", "tools", "dependencies"}


def test_pinning_writes_the_digest_that_the_tag_has_now(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(f"ARG BASE=docker.io/library/python:3.11@sha256:{'0' * 64}\nFROM ${{BASE}}\n")
    now = manifest_digest(b'{"manifests": []}')

    assert pin(file, lambda tag: now, write=False)
    assert "0" * 64 in file.read_text()
    assert pin(file, {"docker.io/library/python:3.11": now}.__getitem__, write=True)
    assert f"ARG BASE=docker.io/library/python:3.11@{now}\n" in file.read_text()
    assert not pin(file, lambda tag: now, write=True)


def test_a_build_of_torch_without_a_lock_is_refused() -> None:
    assert torch_arguments({}) == {}
    assert torch_arguments({"TORCH_BUILD": "cpu"}) == {
        "TORCH_LOCK": "images/locks/torch-cpu.txt",
        "TORCH_INDEX_URL": "https://download.pytorch.org/whl/cpu",
    }
    assert torch_arguments({"TORCH_LOCK": "images/tools.txt"}) == {"TORCH_LOCK": "images/tools.txt"}
    with pytest.raises(BuilderError, match=r"no images/locks/torch-cu126\.txt.*make lock"):
        torch_arguments({"TORCH_BUILD": "cu126"})
