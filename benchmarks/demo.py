"""`darkroom demo` of this checkout and of another: from the training's end to the picture's first denoising step.

    python benchmarks/demo.py --against ../darkroom-before [--rounds 3]

Both moments are when the gateway's event streams show them: the training as Succeeded, and the first progress of the
picture's job with a denoising step done. The checkouts take turns. Compare on a machine that does nothing else.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import connect_sse
from machine import describe_machine

HERE = Path(__file__).resolve().parents[1]
DENOISING = "Denoising"
_GATEWAY = re.compile(r"Gateway: (http://[\w.:]*\w)")
_JOB = re.compile(r": (TrainJob|GenerateJob) (\S+)$")
_STREAM_TIMEOUT = httpx.Timeout(10, read=60)

Event = dict[str, Any]


@dataclass(frozen=True)
class Demo:
    """One run of the demo."""

    first_step_seconds: float
    """From the training's end to the first denoising step."""
    seconds: float
    """The whole demo."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", type=Path, required=True, help="another checkout with its own .venv")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    checkouts = [HERE, options.against.resolve()]
    demos: dict[Path, list[Demo]] = {each: [] for each in checkouts}
    print(f"machine: {describe_machine()}")
    for turn in range(options.rounds):
        for checkout in checkouts if turn % 2 else reversed(checkouts):
            demos[checkout].append(run_demo(checkout))
            print(f"{checkout}: {demos[checkout][-1]}", flush=True)
    names = "from the training's end to the first denoising step", "the whole demo"
    for name, seconds in zip(names, _FIGURES, strict=True):
        here, before = (statistics.median(map(seconds, demos[checkout])) for checkout in checkouts)
        print(f"{name}: {here:.2f} s, before {before:.2f} s: {here / before:.3f} times")


_FIGURES: tuple[Callable[[Demo], float], ...] = (lambda demo: demo.first_step_seconds, lambda demo: demo.seconds)


def run_demo(checkout: Path) -> Demo:
    """Run the demo, and watch its two jobs."""
    moments: dict[str, float] = {}
    watchers: list[threading.Thread] = []
    began, gateway = time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        command = [str(checkout / ".venv" / "bin" / "darkroom"), "demo", "--output", folder]
        with subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True) as demo:
            for line in demo.stdout or ():
                if found := _GATEWAY.search(line):
                    gateway = found[1]
                elif found := _JOB.search(line.rstrip()):
                    watchers.append(threading.Thread(target=_watch, args=(gateway, *found.groups(), moments)))
                    watchers[-1].start()
        for each in watchers:
            each.join()
    if demo.returncode or len(moments) != 2:
        sys.exit(f"the demo of {checkout} failed")
    return Demo(moments["GenerateJob"] - moments["TrainJob"], time.monotonic() - began)


def _watch(gateway: str, kind: str, name: str, moments: dict[str, float]) -> None:
    """Note when the event that counts for this kind of job arrives."""
    is_it = _has_succeeded if kind == "TrainJob" else _has_denoised
    with (
        httpx.Client(base_url=gateway, timeout=_STREAM_TIMEOUT, trust_env=False) as client,
        connect_sse(client, "GET", f"/jobs/{name}/events") as stream,
    ):
        for each in stream.iter_sse():
            if each.event in ("status", "progress") and is_it(each.json()):
                moments[kind] = time.monotonic()
                return


def _has_succeeded(event: Event) -> bool:
    return event.get("phase") == "Succeeded"


def _has_denoised(event: Event) -> bool:
    return event.get("stage") == DENOISING and event.get("step", 0) > 0


if __name__ == "__main__":
    main()
