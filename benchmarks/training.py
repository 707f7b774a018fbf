"""Time per training step, side by side with diffusers' DreamBooth LoRA script for SDXL.

    python benchmarks/training.py --script train_dreambooth_lora_sdxl.py

The reference is that script, unchanged: examples/dreambooth of https://github.com/huggingface/diffusers, from the tag
of the installed release. In addition to Darkroom's packages it needs torchvision, in the release that matches torch.

Both train the small model on the sample photos: same adapters, rank, batch, class images, optimizer, precision and
threads. A round trains once with each, in separate processes, in an order that changes every round. A step's time is
the median between two progress reports, without the first few; the ratio is the median of the rounds' ratios.
"""

import argparse
import itertools
import json
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT / "examples" / "photos"
PROMPT, CLASS_PROMPT = "a photo of sks star", "a photo of a shape"
CLASS_IMAGES = 10
LEARNING_RATE = 1e-4
WARM_UP_STEPS = 5
CHUNK_BYTES = 64 * 1024
_REFERENCE_STEP = re.compile(rb"Steps:[^\r\n]*?\| *(\d+)/\d+ \[")

Take = Callable[[argparse.Namespace, Path], float]


def main() -> None:
    options = read_options()
    if options.ours:
        print(median_step(train_with_ours(options)))
        return
    print(f"machine: {describe_machine()}")
    print(f"command: python benchmarks/training.py {' '.join(sys.argv[1:])}")
    print(f"reference: {options.script.name} of diffusers\n")
    seconds = measure(options)
    print(f"{'':>10} {'s/step':>8} {'speed':>7}")
    for name, each in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds["reference"], each, strict=True))
        print(f"{name:>10} {statistics.median(each):>8.3f} {ratio:>6.2f}×")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", type=Path, required=True, help="diffusers' train_dreambooth_lora_sdxl.py")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "darkroom-tiny-sdxl", help="a folder")
    parser.add_argument("--batch-size", type=int, default=4, help="photos per step, and as many class images")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--frozen-text-encoders", action="store_true", help="train only the U-Net")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.script.is_file():
        parser.error(f"there is no {options.script}: take it from examples/dreambooth of diffusers")
    if options.steps < WARM_UP_STEPS + 2:
        parser.error(f"--steps must be {WARM_UP_STEPS + 2} or more: the first {WARM_UP_STEPS} are ignored")
    return options


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds per step, by trainer and round."""
    takes: dict[str, Take] = {"reference": take_reference, "darkroom": take_ours}
    seconds: dict[str, list[float]] = {name: [] for name in takes}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds):
            names = list(takes)
            for name in names if turn % 2 == 0 else reversed(names):
                seconds[name].append(takes[name](options, Path(folder)))
    return seconds


def take_ours(options: argparse.Namespace, folder: Path) -> float:
    command = [sys.executable, __file__, *sys.argv[1:], "--ours"]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def train_with_ours(options: argparse.Namespace) -> list[float]:
    """Train with Darkroom; returns the time at which each step was reported."""
    from darkroom_contract.plan import plan_training
    from darkroom_contract.specs.train_job import TrainJobSpec
    from darkroom_runner.models.pretrained import SDXL, find_pretrained
    from darkroom_runner.run.library_logging import configure_library_logging
    from darkroom_runner.run.progress import ProgressTracker
    from darkroom_runner.run.progress_events import NullSender
    from darkroom_runner.run.stop_signal import StopSignal
    from darkroom_runner.training.dataset import check_photo
    from darkroom_runner.training.session import open_session

    class Stopwatch(ProgressTracker):
        """Records the times of the current stage's steps."""

        def enter(self, *args: Any, **kwargs: Any) -> None:
            super().enter(*args, **kwargs)
            self.times: list[float] = []

        def step(self, *args: Any, **kwargs: Any) -> None:
            super().step(*args, **kwargs)
            self.times.append(time.perf_counter())

    logging.disable(logging.INFO)
    configure_library_logging()
    spec = TrainJobSpec.from_dict(job_spec(options))
    progress = Stopwatch(1, plan_training(spec), NullSender())
    model = find_pretrained(options.model.name, SDXL, options.model.parent)
    photos = [check_photo(path, path.name) for path in sorted(PHOTOS.glob("*.png"))]
    open_session(model, spec, progress, StopSignal()).train(photos)
    return progress.times


def job_spec(options: argparse.Namespace) -> dict[str, Any]:
    """The spec of Darkroom's training, as in a TrainJob."""
    return {
        "modelId": "benchmark",
        "prompt": PROMPT,
        "dataset": {"uri": "s3://nowhere/photos/"},
        "maxSteps": options.steps,
        "training": {
            "rank": options.rank,
            "trainTextEncoders": not options.frozen_text_encoders,
            "batchSize": options.batch_size,
            "learningRate": LEARNING_RATE,
            "priorPreservation": {"classPrompt": CLASS_PROMPT, "classImages": CLASS_IMAGES},
        },
    }


def take_reference(options: argparse.Namespace, folder: Path) -> float:
    """The steps' times come from its progress bar. Class images are generated in the first round and kept."""
    with subprocess.Popen(reference_command(options, folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        said, times = b"", dict[int, float]()
        while run.stderr is not None and (chunk := os.read(run.stderr.fileno(), CHUNK_BYTES)):
            now, said = time.perf_counter(), said + chunk
            for step in _REFERENCE_STEP.findall(said):
                times.setdefault(int(step), now)
    if run.returncode != 0 or max(times, default=0) != options.steps:
        sys.exit(f"the reference failed:\n{said.decode(errors='replace')}")
    return median_step([times[step] for step in sorted(times) if step > 0])


def reference_command(options: argparse.Namespace, folder: Path) -> list[str]:
    settings = {
        "pretrained_model_name_or_path": options.model,
        "instance_data_dir": PHOTOS,
        "instance_prompt": PROMPT,
        "class_data_dir": folder / "class",
        "class_prompt": CLASS_PROMPT,
        "num_class_images": CLASS_IMAGES,
        "output_dir": folder / "reference",
        "resolution": side_px(options.model),
        "rank": options.rank,
        "train_batch_size": options.batch_size,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "max_train_steps": options.steps,
        "checkpointing_steps": 10 * options.steps,
        "seed": 0,
    }
    flags = ["with_prior_preservation"]
    if not options.frozen_text_encoders:
        flags.append("train_text_encoder")
    if torch.cuda.is_available():
        # As Darkroom does on CUDA.
        settings["mixed_precision"] = "bf16"
        flags.append("gradient_checkpointing")
    given = [f"--{name}={value}" for name, value in settings.items()] + [f"--{flag}" for flag in flags]
    return [sys.executable, str(options.script), *given]


def side_px(model: Path) -> int:
    """The side of the model's own image size."""
    unet, vae = (json.loads((model / part / "config.json").read_text(encoding="utf-8")) for part in ("unet", "vae"))
    factor: int = 2 ** (len(vae["block_out_channels"]) - 1)
    return int(unet["sample_size"]) * factor


def median_step(times: list[float]) -> float:
    """Median seconds between two steps."""
    kept = times[WARM_UP_STEPS:]
    return statistics.median(after - before for before, after in itertools.pairwise(kept))


if __name__ == "__main__":
    main()
