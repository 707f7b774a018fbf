"""CPU time of a training step with each option, against the default settings.

    OMP_NUM_THREADS=1 python benchmarks/training_options.py

Trains the small model on the sample photos, with each set of options for some steps, in turn, in one process. A step's
time is the shortest between two progress reports: what other programs on the machine do can only lengthen it. The ratio
is the median of the rounds' ratios.
"""

import argparse
import itertools
import logging
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine

from darkroom_contract.plan import plan_training
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.models.pretrained import SDXL, find_pretrained
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.progress_events import NullSender
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.training.dataset import check_photo
from darkroom_runner.training.session import open_session

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "darkroom-tiny-sdxl"
PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.png"))
WARM_UP_STEPS = 5
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "rank 64": {"rank": 64},
    "layers All": {"layers": "All"},
    "dora": {"dora": True},
    "trainTextEncoders": {"trainTextEncoders": True},
    "loraDropout 0.1": {"loraDropout": 0.1},
    "optimizer AdamW8bit": {"optimizer": "AdamW8bit"},
    "optimizer Adafactor": {"optimizer": "Adafactor"},
    "optimizer Prodigy": {"optimizer": "Prodigy"},
    "emaDecay 0.99": {"emaDecay": 0.99},
    "memory Low": {"memory": "Low"},
    "batchSize 2": {"batchSize": 2},
    "shuffleTags, captionDropout 0.1": {"shuffleTags": True, "captionDropout": 0.1},
    "priorPreservation": {"priorPreservation": {"classPrompt": "a photo of a shape", "classImages": 2}},
}


class Stopwatch(ProgressTracker):
    """Records the CPU time at which each step of the current stage was reported."""

    def enter(self, *args: Any, **kwargs: Any) -> None:
        super().enter(*args, **kwargs)
        self.times: list[float] = []

    def step(self, *args: Any, **kwargs: Any) -> None:
        super().step(*args, **kwargs)
        self.times.append(time.process_time())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    configure_library_logging()
    torch.set_num_threads(1)
    print(f"machine: {describe_machine()}, one thread")
    seconds: dict[str, list[float]] = {name: [] for name in OPTIONS}
    for _ in range(options.rounds):
        for name, training in OPTIONS.items():
            seconds[name].append(step_seconds(training, options.steps))
    print(f"{'':>34} {'CPU s/step':>10} {'ratio':>6}")
    for name, each in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(each, seconds["default"], strict=True))
        print(f"{name:>34} {statistics.median(each):>10.3f} {ratio:>6.2f}")


def step_seconds(training: dict[str, Any], steps: int) -> float:
    """CPU seconds of the fastest step after the first few."""
    spec = TrainJobSpec.from_dict(
        {
            "modelId": "benchmark",
            "prompt": "a photo of sks star, on a navy background, small",
            "dataset": {"uri": "s3://nowhere/photos/"},
            "maxSteps": steps,
            "training": training,
        }
    )
    progress = Stopwatch(1, plan_training(spec), NullSender())
    photos = [check_photo(path, path.name) for path in PHOTOS]
    open_session(find_pretrained(MODEL.name, SDXL, MODEL.parent), spec, progress, StopSignal()).train(photos)
    kept = progress.times[WARM_UP_STEPS:]
    return min(after - before for before, after in itertools.pairwise(kept))


if __name__ == "__main__":
    main()
