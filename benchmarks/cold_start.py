"""The runner's cold start, from the container's start to the first denoising step, beside a bare Python program.

    python benchmarks/cold_start.py                    5 rounds with the small SDXL model of models/
    python benchmarks/cold_start.py --model FOLDER     with another SDXL model

Two comparisons, each in new processes, alternating round by round:

- imports: CPU seconds of the modules of a run with images, with the garbage collector paused as in a run, beside
  `from diffusers import StableDiffusionXLPipeline`;
- start: seconds from the start of `darkroom-runner` to its first denoising step, with a real S3 server, beside a
  program that imports the same class and loads the same folder, without any step.

Prints medians, ratios and the parts of the start. Fails when a ratio is above its target. On a machine with other load
only the ratios mean something.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil  # type: ignore[import-untyped]
from machine import describe_machine
from photos import s3_server

from darkroom_contract.runs import RunDocument
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_local.processes.parent_death import die_with_parent

T = TypeVar("T")

MODEL = Path(__file__).parents[1] / "models" / "darkroom-tiny-sdxl"
IMPORTS_TARGET, START_TARGET = 0.7, 1.0
STEPS = 4
FIRST_STEP = re.compile(r"first step after ([\d.]+) s: (.*)")
PART = re.compile(r"([a-z ]+) ([\d.]+) s")

PLAIN_IMPORTS = "from diffusers import StableDiffusionXLPipeline"
OUR_IMPORTS = """
import darkroom_runner.worker, darkroom_runner.lifecycle
from darkroom_runner.run.gc_control import paused_gc
from darkroom_runner.run.library_imports import imports_in_background
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.tasks.generate import IMAGE_LIBRARIES
with paused_gc(), imports_in_background(configure_library_logging, IMAGE_LIBRARIES) as libraries:
    libraries.wait()
"""
PLAIN_START = """
import sys, torch
from diffusers import StableDiffusionXLPipeline
StableDiffusionXLPipeline.from_pretrained(sys.argv[1], dtype=torch.float32, use_safetensors=True)
print("loaded", flush=True)
"""


@dataclass(frozen=True)
class Start:
    """One program up to the line that was waited for."""

    seconds: float
    cpu_seconds: float
    line: str


def main() -> None:
    options = _read_options()
    print(describe_machine())
    faults = compare_imports(options.rounds) + compare_starts(options.model, options.rounds)
    if faults:
        sys.exit("; ".join(faults))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of an SDXL model")
    return parser.parse_args()


# --- imports -------------------------------------------------------------------------------------------------------


def compare_imports(rounds: int) -> list[str]:
    """Print the CPU seconds of both; returns what misses its target."""
    plain, ours = alternate(rounds, lambda: cpu_seconds(PLAIN_IMPORTS), lambda: cpu_seconds(OUR_IMPORTS))
    return report("imports, CPU seconds", plain, ours, IMPORTS_TARGET)


def cpu_seconds(code: str) -> float:
    """User and system time of a Python process that runs the code."""
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the program failed:\n{errors}")
    return usage.ru_utime + usage.ru_stime


# --- the whole start -----------------------------------------------------------------------------------------------


def compare_starts(model: Path, rounds: int) -> list[str]:
    """Print the seconds of both and the parts of ours; returns what misses its target."""
    with tempfile.TemporaryDirectory(prefix="darkroom-start-") as folder, s3_server(Path(folder)) as environment:
        plain, ours = alternate(
            rounds, lambda: plain_start(model), lambda: runner_start(model, Path(folder), environment)
        )
    faults = report("start, seconds", [each.seconds for each in plain], [each.seconds for each in ours], START_TARGET)
    report("start, CPU seconds", [each.cpu_seconds for each in plain], [each.cpu_seconds for each in ours])
    found = [parts(each.line) for each in ours]
    for part in found[0]:
        print(f"{part:>24} {statistics.median(each[part] for each in found):8.2f} s")
    return faults


def plain_start(model: Path) -> Start:
    return until_line([sys.executable, "-c", PLAIN_START, str(model)], {}, re.compile("loaded"))


def runner_start(model: Path, folder: Path, storage: dict[str, str]) -> Start:
    spec = GenerateJobSpec.from_dict({"prompt": "a red star on grass", "images": {"steps": STEPS, "seed": 1}})
    document = RunDocument(
        namespace="default",
        name="start",
        uid=str(uuid.uuid4()),
        attempt=1,
        base_model=model.name,
        video_base_model="",
        generate=spec,
    )
    settings = {
        "DARKROOM_RUN": document.to_json(),
        "DARKROOM_MODEL_ROOT": str(model.parent),
        "DARKROOM_SCRATCH_DIR": str(folder),
        "DARKROOM_TERMINATION_MESSAGE_PATH": str(folder / "termination"),
    }
    program = str(Path(sys.executable).with_name("darkroom-runner"))
    return until_line([program], storage | settings, FIRST_STEP)


def until_line(command: list[str], environment: dict[str, str], wanted: re.Pattern[str]) -> Start:
    """Run a program to its end; time and CPU time are those until its output had the line."""
    begun, found, output = time.monotonic(), None, list[str]()
    with subprocess.Popen(
        die_with_parent(command),
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if found is None and wanted.search(line):
                found = Start(time.monotonic() - begun, tree_cpu_seconds(process.pid), line)
    if found is None or process.returncode:
        sys.exit(f"the program failed:\n{''.join(output)}")
    return found


def tree_cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and its children."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def parts(line: str) -> dict[str, float]:
    """The parts of a start from its line in the run's log."""
    match = FIRST_STEP.search(line)
    assert match is not None
    return {name.strip(): float(seconds) for name, seconds in PART.findall(match[2])}


# --- comparing -----------------------------------------------------------------------------------------------------


def alternate(rounds: int, plain: Callable[[], T], ours: Callable[[], T]) -> tuple[list[T], list[T]]:
    """Call both in turn; the first round fills the caches and does not count."""
    results = [(plain(), ours()) for _ in range(rounds + 1)][1:]
    return [each for each, _ in results], [each for _, each in results]


def report(name: str, plain: list[float], ours: list[float], target: float | None = None) -> list[str]:
    """Print medians and their ratio; returns the fault if it is above the target."""
    reference, value = statistics.median(plain), statistics.median(ours)
    ratio = value / reference
    wanted = "" if target is None else f", at most {target}"
    print(f"{name:>24} {value:8.2f}, plain {reference:.2f}: {ratio:.2f} times{wanted}", flush=True)
    if target is None or ratio <= target:
        return []
    return [f"{name}: {ratio:.2f} times the plain program, more than {target}"]


if __name__ == "__main__":
    main()
