"""Runs all measurements that need a CUDA card, each in a process with a time limit. Called by benchmarks/gpu.sh.

A part that fails or takes too long does not stop the others. Writes gpu.json and gpu.md to --out; --write also replaces
the table in docs/performance.md. Without a card everything is "not measured", except with --small.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- gpu.sh: begin -->\n", "<!-- gpu.sh: end -->\n"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Row:
    """A figure and its target: at least, or at most for `is_limit`."""

    part: str
    key: str
    title: str
    target: float | None = None
    is_limit: bool = False
    unit: str = "×"


LIMIT_SECONDS = {"tests": 150, "images": 130, "clip": 110, "training": 150, "cold-start": 50}
"""Together less than ten minutes."""

SMALL_FACTOR = 5
"""A CPU may take this many times as long with small models."""

ROWS = (
    Row("tests", "passed", "tests/gpu: passed", unit=""),
    Row("tests", "failed", "tests/gpu: failed", 0, is_limit=True, unit=""),
    Row("images", "speed", "SDXL, 1024×1024, 50 steps: `Balanced` against plain half-precision diffusers", 3.5),
    Row("images", "deepcache_speed", "the same: DeepCache's package at interval 3"),
    Row(
        "images", "psnr_gain_db", "the same: PSNR of the latents above that of DeepCache's interval 3", 0.0, unit=" dB"
    ),
    Row("images", "preview_percent", "a preview, relative to a step", 1.0, is_limit=True, unit=" %"),
    Row("clip", "speed", "SVD-XT, 1024×576, 25 frames, 25 steps: `Balanced` against plain diffusers", 3.0),
    Row("training", "speed", "training, 1024×1024, rank 16, against diffusers' script", 1.8),
    Row("training", "memory", "the same: memory of the card, relative", 0.7, is_limit=True),
    Row("cold-start", "seconds", "from the start of the process to the first image", unit=" s"),
)


@dataclass
class Result:
    """What a part returned."""

    part: str
    state: str
    """measured, or why it is not."""
    seconds: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    output: str = ""
    """The end of a failed part's output."""


def main() -> None:
    options = read_options()
    started = time.monotonic()
    results: list[Result] = []
    text = ""
    for part in options.parts:
        results.append(run_part(part, options))
        text = write_report(results, started, options)
    print(text)
    sys.exit(any(each.state.startswith("failed") for each in results))


def write_report(results: list[Result], started: float, options: argparse.Namespace) -> str:
    """Write what is measured so far: a machine may be taken away before the last part. Returns the table."""
    options.out.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": describe_machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"benchmarks/gpu.sh {' '.join(sys.argv[1:])}".strip(),
        "seconds": round(time.monotonic() - started, 1),
        "small": options.small,
        "parts": [asdict(each) for each in results],
    }
    (options.out / "gpu.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    text = table(report)
    (options.out / "gpu.md").write_text(text, encoding="utf-8")
    if options.write:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    return text


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small models, on any machine: tries the script")
    parser.add_argument("--quick", action="store_true", help="few steps")
    parser.add_argument("--write", action="store_true", help="fill the table in docs/performance.md")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu", help="folder for gpu.json and gpu.md")
    parser.add_argument("--script", type=Path, help="diffusers' train_dreambooth_lora_sdxl.py")
    parser.add_argument("--parts", nargs="+", choices=list(LIMIT_SECONDS), default=list(LIMIT_SECONDS))
    options = parser.parse_args()
    if options.write and options.small:
        parser.error("--write is for a card: figures of --small are not those of the table")
    return options


def run_part(part: str, options: argparse.Namespace) -> Result:
    if not torch.cuda.is_available() and not options.small:
        return Result(part, f"{NOT_MEASURED}: no CUDA card")
    if part == "training" and options.script is None:
        return Result(part, f"{NOT_MEASURED}: no --script")
    command = [sys.executable, str(Path(__file__).with_name("gpu_parts.py")), part]
    command += [f"--{each}" for each in ("small", "quick") if getattr(options, each)]
    if options.script is not None:
        command += ["--script", str(options.script.resolve())]
    return run_command(part, command, LIMIT_SECONDS[part] * (SMALL_FACTOR if options.small else 1))


def run_command(part: str, command: list[str], limit_seconds: float) -> Result:
    """Run a command whose last line is JSON."""
    print(f"{part} ...", file=sys.stderr, flush=True)
    started = time.monotonic()
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit_seconds, check=False)
    except subprocess.TimeoutExpired:
        return Result(part, f"failed: took more than {limit_seconds:g} s", time.monotonic() - started)
    seconds = time.monotonic() - started
    try:
        values = json.loads(run.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        values = None
    if run.returncode or not isinstance(values, dict):
        return Result(part, f"failed: exit status {run.returncode}", seconds, output=(run.stdout + run.stderr)[-4000:])
    return Result(part, "measured", seconds, values)


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    parts = {each["part"]: each for each in report["parts"]}
    size = ", small models" if report["small"] else ""
    lines = [f"{report['date']}, {report['machine']}{size}, {report['seconds']:g} s: `{report['command']}`", ""]
    lines += ["| | target | measured |", "|---|---|---|"]
    for row in ROWS:
        part = parts.get(row.part)
        lines.append(f"| {row.title} | {_target(row)} | {_measured(row, part)} |")
    return "\n".join(lines) + "\n"


def _target(row: Row) -> str:
    return "" if row.target is None else f"{'≤' if row.is_limit else '≥'} {row.target:g}{row.unit}"


def _measured(row: Row, part: dict[str, Any] | None) -> str:
    if part is None:
        return NOT_MEASURED
    value = part["values"].get(row.key)
    if value is None:
        return str(part["state"])
    is_missed = row.target is not None and (value > row.target if row.is_limit else value < row.target)
    return f"{value:.3g}{row.unit}{' (missed)' if is_missed else ''}"


def filled(page: str, text: str) -> str:
    """The page with the text between its two marks. Raises `ValueError` without them."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE.name} lacks the marks {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}{text}{END}{after}"


if __name__ == "__main__":
    main()
