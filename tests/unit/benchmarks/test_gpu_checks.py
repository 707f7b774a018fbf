"""`benchmarks/gpu.sh`: runs with small models, survives a failing part, and fills its table."""

import importlib.util
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[3]


def load(name: str) -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    return load("gpu_checks")


def run_script(out: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    subprocess.run(
        [str(ROOT / "benchmarks" / "gpu.sh"), "--out", str(out), *arguments],
        env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": "", **variables},
        check=True,
        capture_output=True,
    )
    report: dict[str, Any] = json.loads((out / "gpu.json").read_text(encoding="utf-8"))
    return report


@pytest.fixture
def only_the_runner(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH that hides the packages a rented machine lacks."""
    folder = tmp_path / "hidden"
    for name in ("darkroom_local", "darkroom_gateway", "darkroom_operator", "fastapi", "kopf"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise ImportError('{name} is not installed')", encoding="utf-8")
    return folder


@pytest.mark.timeout(900)
def test_small_models_take_the_same_path(tmp_path: Path, only_the_runner: Path) -> None:
    parts = ["tests", "cold-start"]

    report = run_script(tmp_path, "--small", "--quick", "--parts", *parts, PYTHONPATH=str(only_the_runner))

    assert [each["state"] for each in report["parts"]] == ["measured"] * 2
    tests, start = (each["values"] for each in report["parts"])
    assert tests["failed"] == 0
    assert start["seconds"] > 0
    assert "small models" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("part", "keys"), [("images", {"speed", "psnr_gain_db", "preview_percent"}), ("clip", {"speed"})]
)
def test_part_prints_its_figures_as_its_last_line(
    part: str, keys: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, which has imported the libraries: the script starts a process for each part."""
    monkeypatch.setattr(sys, "argv", ["gpu_parts.py", part, "--small", "--quick"])
    monkeypatch.setattr(logging, "disable", lambda level: None)

    load("gpu_parts").main()

    figures = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert keys <= figures.keys()
    assert figures["speed"] > 0


def test_without_a_card_nothing_is_measured(tmp_path: Path, checks: ModuleType) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a card")

    run_script(tmp_path)

    rows = (tmp_path / "gpu.md").read_text(encoding="utf-8").splitlines()[4:]
    assert len(rows) == len(checks.ROWS)
    assert all("not measured" in row for row in rows)


def test_a_folder_without_wheels_is_an_error(tmp_path: Path) -> None:
    script = [str(ROOT / "benchmarks" / "gpu.sh"), "--wheels", "empty"]
    (tmp_path / "empty").mkdir()

    run = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run.returncode == 1
    assert "no *.whl in empty" in run.stderr


@pytest.mark.parametrize(
    ("program", "state"),
    [
        ("import sys; sys.exit(3)", "failed: exit status 3"),
        ("print('no figures')", "failed: exit status 0"),
        ("import time; time.sleep(60)", "failed: took more than 1 s"),
        ("print('{\"speed\": 3.0}')", "measured"),
    ],
)
def test_a_failing_part_is_a_result(checks: ModuleType, program: str, state: str) -> None:
    assert checks.run_command("clip", [sys.executable, "-c", program], 1).state == state


def test_each_part_is_written_when_it_ends(checks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rented machine may be taken away before the last."""

    def run_part(part: str, options: Any) -> Any:
        if part == "clip":
            raise KeyboardInterrupt
        return checks.Result(part, "measured", values={"seconds": 2.5})

    monkeypatch.setattr(checks, "run_part", run_part)
    monkeypatch.setattr(sys, "argv", ["gpu.sh", "--out", str(tmp_path), "--parts", "cold-start", "clip"])

    with pytest.raises(KeyboardInterrupt):
        checks.main()

    assert "| 2.5 s |" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert [each["part"] for each in json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["parts"]] == [
        "cold-start"
    ]


def test_missed_targets_are_marked(checks: ModuleType) -> None:
    part = {"part": "training", "state": "measured", "values": {"speed": 1.5, "memory": 0.6}}

    text = checks.table({"machine": "m", "date": "d", "seconds": 1, "command": "c", "small": False, "parts": [part]})

    assert "| ≥ 1.8× | 1.5× (missed) |" in text
    assert "| ≤ 0.7× | 0.6× |" in text


def test_the_page_has_a_place_for_the_table(checks: ModuleType) -> None:
    page = checks.PAGE.read_text(encoding="utf-8")

    once = checks.filled(page, "figures\n")

    assert f"{checks.BEGIN}figures\n{checks.END}" in once
    assert checks.filled(once, "figures\n") == once
    with pytest.raises(ValueError, match="lacks the marks"):
        checks.filled("# A page", "figures\n")


def test_all_parts_together_fit_in_ten_minutes(checks: ModuleType) -> None:
    assert sum(checks.LIMIT_SECONDS.values()) < 600
    assert {row.part for row in checks.ROWS} == set(checks.LIMIT_SECONDS)
