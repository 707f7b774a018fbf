"""Time and memory of a training step, side by side with diffusers' DreamBooth LoRA script for SDXL.

    python benchmarks/training.py --script train_dreambooth_lora_sdxl.py
    python benchmarks/training.py --script train_dreambooth_lora_sdxl.py --real-size

The reference is that script, unchanged: examples/dreambooth of https://github.com/huggingface/diffusers, from the tag
of the installed release. In addition to Darkroom's packages it needs torchvision, in the release that matches torch;
`--reference-python` names an environment that has it.

Both train the small model on the sample photos: same adapters, rank, batch, class images, optimizer, precision and
threads. A round trains once with each, in separate processes, in an order that changes every round. A step's time is
the median between two progress reports, without the first few; the ratio is the median of the rounds' ratios. Peak
memory is that of the process (VmHWM of /proc/PID/status) when its last step is reported, before the script loads
everything again for its last pictures.

`--real-size`: SDXL at its real size with random weights, at 512 pixels, one photo a step, the U-Net alone. The weights
are written once into build/ (14 GB). It needs 24 GB of memory and a quarter of an hour on two cores.
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
from dataclasses import dataclass
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
REAL_SIZE = ROOT / "build" / "sdxl-real-size"
REAL_SIZE_PX, REAL_SIZE_STEPS = 512, 4
CHUNK_BYTES = 64 * 1024
_REFERENCE_STEP = re.compile(rb"Steps:[^\r\n]*?\| *(\d+)/\d+ \[")


@dataclass(frozen=True)
class Figures:
    """Of one training."""

    seconds: float
    """A step's time."""
    peak_bytes: int
    """Peak memory of the process until its last step."""


Take = Callable[[argparse.Namespace, Path], Figures]


def main() -> None:
    options = read_options()
    if options.ours:
        seconds = median_step(train_with_ours(options), options.warm_up)
        print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes(os.getpid())}))
        return
    if options.real_size and not (REAL_SIZE / "model_index.json").exists():
        from sdxl_base import save_pipeline

        save_pipeline(REAL_SIZE)
    print(f"machine: {describe_machine()}")
    print(f"command: python benchmarks/training.py {' '.join(sys.argv[1:])}")
    print(f"reference: {options.script.name} of diffusers\n")
    figures = measure(options)
    print(f"{'':>10} {'s/step':>8} {'speed':>7} {'peak MiB':>9} {'ratio':>6}")
    for name, each in figures.items():
        pairs = list(zip(figures["reference"], each, strict=True))
        speed = statistics.median(one.seconds / other.seconds for one, other in pairs)
        memory = statistics.median(other.peak_bytes / one.peak_bytes for one, other in pairs)
        seconds, peak = (
            statistics.median(values) for values in zip(*((f.seconds, f.peak_bytes) for f in each), strict=True)
        )
        print(f"{name:>10} {seconds:>8.3f} {speed:>6.2f}× {peak / 2**20:>9.0f} {memory:>6.2f}")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", type=Path, required=True, help="diffusers' train_dreambooth_lora_sdxl.py")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "darkroom-tiny-sdxl", help="a folder")
    parser.add_argument("--batch-size", type=int, default=4, help="photos per step, and as many class images")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--frozen-text-encoders", action="store_true", help="train only the U-Net")
    parser.add_argument("--no-class-images", action="store_true", help="no prior preservation")
    parser.add_argument("--resolution", type=int, help="pixels; the model's own when unset")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing for both")
    parser.add_argument("--real-size", action="store_true", help="SDXL's real size; sets most of the above")
    parser.add_argument("--reference-python", default=sys.executable, help="interpreter for diffusers' script")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.warm_up = WARM_UP_STEPS
    if options.real_size:
        options.model, options.resolution, options.batch_size = REAL_SIZE, REAL_SIZE_PX, 1
        options.frozen_text_encoders = options.no_class_images = True
        options.steps, options.rounds, options.warm_up = REAL_SIZE_STEPS, 1, 1
    if not options.script.is_file():
        parser.error(f"there is no {options.script}: take it from examples/dreambooth of diffusers")
    if options.steps < options.warm_up + 2:
        parser.error(f"--steps must be {options.warm_up + 2} or more: the first {options.warm_up} are ignored")
    return options


def measure(options: argparse.Namespace) -> dict[str, list[Figures]]:
    """Figures by trainer and round."""
    takes: dict[str, Take] = {"reference": take_reference, "darkroom": take_ours}
    figures: dict[str, list[Figures]] = {name: [] for name in takes}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds):
            names = list(takes)
            for name in names if turn % 2 == 0 else reversed(names):
                figures[name].append(takes[name](options, Path(folder)))
    return figures


def take_ours(options: argparse.Namespace, folder: Path) -> Figures:
    command = [sys.executable, __file__, *sys.argv[1:], "--ours"]
    return Figures(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


def train_with_ours(options: argparse.Namespace) -> list[float]:
    """Train with Darkroom, and import libraries as a run does; returns the time at which each step was reported."""
    from darkroom_runner.run.library_logging import configure_library_logging
    from darkroom_runner.run.model_index import stored_model_index
    from darkroom_runner.run.unused_parts import unused_parts_hidden

    logging.disable(logging.INFO)
    with unused_parts_hidden(), stored_model_index():
        configure_library_logging()
        return _train_with_ours(options)


def _train_with_ours(options: argparse.Namespace) -> list[float]:
    from darkroom_contract.plan import plan_training
    from darkroom_contract.specs.train_job import TrainJobSpec
    from darkroom_runner.models.pretrained import SDXL, find_pretrained
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

    spec = TrainJobSpec.from_dict(job_spec(options))
    progress = Stopwatch(1, plan_training(spec), NullSender())
    model = find_pretrained(options.model.name, SDXL, options.model.parent)
    photos = [check_photo(path, path.name) for path in sorted(PHOTOS.glob("*.png"))]
    open_session(model, spec, progress, StopSignal()).train(photos)
    return progress.times


def job_spec(options: argparse.Namespace) -> dict[str, Any]:
    """The spec of Darkroom's training, as in a TrainJob."""
    prior = {"priorPreservation": {"classPrompt": CLASS_PROMPT, "classImages": CLASS_IMAGES}}
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
            "cropping": "Square",
            "resolution": options.resolution,
            "memory": "Low" if options.checkpointing else "Auto",
            **({} if options.no_class_images else prior),
        },
    }


def take_reference(options: argparse.Namespace, folder: Path) -> Figures:
    """The steps' times come from its progress bar. Class images are generated in the first round and kept."""
    with subprocess.Popen(reference_command(options, folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        said, times, peak = b"", dict[int, float](), 0
        while run.stderr is not None and (chunk := os.read(run.stderr.fileno(), CHUNK_BYTES)):
            now, said = time.perf_counter(), said + chunk
            for step in _REFERENCE_STEP.findall(said):
                times.setdefault(int(step), now)
            if options.steps in times:
                peak = peak_bytes(run.pid)
                # It would load the whole pipeline once more, for its last pictures.
                run.terminate()
                break
    if max(times, default=0) != options.steps:
        sys.exit(f"the reference failed:\n{said.decode(errors='replace')}")
    return Figures(median_step([times[step] for step in sorted(times) if step > 0], options.warm_up), peak)


def reference_command(options: argparse.Namespace, folder: Path) -> list[str]:
    settings = {
        "pretrained_model_name_or_path": options.model,
        "instance_data_dir": PHOTOS,
        "instance_prompt": PROMPT,
        "output_dir": folder / "reference",
        "resolution": options.resolution or side_px(options.model),
        "rank": options.rank,
        "train_batch_size": options.batch_size,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "max_train_steps": options.steps,
        "checkpointing_steps": 10 * options.steps,
        "seed": 0,
    }
    flags = []
    if not options.no_class_images:
        settings |= {"class_data_dir": folder / "class", "class_prompt": CLASS_PROMPT, "num_class_images": CLASS_IMAGES}
        flags.append("with_prior_preservation")
    if not options.frozen_text_encoders:
        flags.append("train_text_encoder")
    if torch.cuda.is_available():
        # As Darkroom does on CUDA.
        settings["mixed_precision"] = "bf16"
    if torch.cuda.is_available() or options.checkpointing:
        flags.append("gradient_checkpointing")
    given = [f"--{name}={value}" for name, value in settings.items()] + [f"--{flag}" for flag in flags]
    return [options.reference_python, str(options.script), *given]


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def side_px(model: Path) -> int:
    """The side of the model's own image size."""
    unet, vae = (json.loads((model / part / "config.json").read_text(encoding="utf-8")) for part in ("unet", "vae"))
    factor: int = 2 ** (len(vae["block_out_channels"]) - 1)
    return int(unet["sample_size"]) * factor


def median_step(times: list[float], warm_up: int) -> float:
    """Median seconds between two steps."""
    kept = times[warm_up:]
    return statistics.median(after - before for before, after in itertools.pairwise(kept))


if __name__ == "__main__":
    main()
