"""Which tests are in the fast tier, and that what slips in fails there."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import tiers
from support.kube_api import ApiServer
from support.server_process import Process
from support.tiers import NotFastError, only_what_is_fast


@pytest.fixture
def fast_only() -> Iterator[None]:
    with only_what_is_fast():
        yield


def starts_an_api_server(folder: Path) -> None:
    ApiServer(folder).start()


def starts_a_gateway_beside_it(folder: Path) -> None:
    def start() -> None:
        Process(["python", "-m", "darkroom_gateway.main"], folder / "log").start()

    start()


def imports_torch() -> None:
    import torch

    assert torch


def imports_a_part_of_diffusers() -> None:
    import diffusers.utils.logging

    assert diffusers


def lists_a_folder(folder: Path) -> None:
    subprocess.run(["ls", folder], check=True)


@pytest.mark.parametrize(
    ("function", "slow"),
    [
        (starts_an_api_server, True),
        (starts_a_gateway_beside_it, True),
        (imports_torch, True),
        (imports_a_part_of_diffusers, True),
        (lists_a_folder, False),
    ],
)
def test_reachable_code_decides_the_tier(function: Callable[..., None], slow: bool) -> None:
    assert tiers.reaches_slow(function) is slow


@pytest.mark.parametrize(
    ("source", "slow"),
    [
        ("import torch.nn", True),
        ("from peft import LoraConfig", True),
        ("from darkroom_tiny.tokenizer import WORDS", True),
        ("from darkroom_contract.crd.definitions import definition", False),
        ("def test_it(sdxl):\n    import torch", False),
    ],
    ids=["torch", "a library with torch", "a module of ours with torch", "without torch", "torch within a test"],
)
def test_modules_that_load_torch_are_not_even_imported(tmp_path: Path, source: str, slow: bool) -> None:
    module = tmp_path / "test_something.py"
    module.write_text(source)

    assert tiers.is_whole_module_slow(module) is slow


def test_folders_of_clusters_are_slow() -> None:
    assert tiers.is_whole_module_slow(tiers.TESTS / "stories" / "test_anything.py")


@pytest.mark.usefixtures("fast_only")
@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "darkroom_operator.main"],
        ["launcher", sys.executable, "-m", "darkroom_local.apiserver", "--port", "1"],
        ["/opt/venv/bin/darkroom", "up"],
    ],
)
def test_program_of_a_cluster_fails_a_fast_test(command: list[str]) -> None:
    with pytest.raises(NotFastError, match="a fast test starts"):
        subprocess.run(command, check=False)


@pytest.mark.usefixtures("fast_only")
def test_import_of_torch_fails_a_fast_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "diffusers", raising=False)

    with pytest.raises(NotFastError, match="a fast test imports diffusers"):
        exec("import diffusers")


@pytest.mark.usefixtures("fast_only")
def test_other_programs_may_be_started(tmp_path: Path) -> None:
    lists_a_folder(tmp_path)
