"""Time to equal held-out loss: photos of mixed shapes in aspect-ratio buckets, against square crops of them.

    python benchmarks/buckets.py

The photos show the small model's subject in seven shapes, at the centre or to a side, as people take them. A round
trains twice with one seed: `cropping: Buckets` and, as the reference, `cropping: Square`; which comes first changes
every round. Between the steps the loss is measured on held-out photos of the same shapes: whole, as buckets show them,
and as square crops. Only the time of the training steps counts.

Time to equal loss: for each of the two measures, the time until the smoothed loss first reaches the level that both
trainings reach. A ratio is the median over the rounds of buckets / square; below 1 buckets are faster.
"""

import argparse
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from machine import describe_machine
from PIL import Image

from darkroom_contract.plan import plan_training
from darkroom_contract.progress import Stage
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.models.pretrained import SDXL, find_pretrained
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.progress_events import NullSender
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.sampling.schedulers import training_noise_scheduler
from darkroom_runner.training.batches import Concept
from darkroom_runner.training.dataset import Photo, check_photo
from darkroom_runner.training.diffusion_loss import DiffusionLoss
from darkroom_runner.training.prompt_embeddings import open_prompt_encoder
from darkroom_runner.training.session import TrainingSession, open_session
from darkroom_runner.training.trainer import Trainer
from darkroom_runner.training.training_data import DataPreparation
from darkroom_tiny.draw import BACKGROUNDS, SUBJECT, Scene, draw

ROOT = Path(__file__).parents[1]
PROMPT = "a photo of sks star"
SHAPES = ((3, 2), (2, 3), (16, 9), (9, 16), (4, 3), (3, 4), (1, 1))
SHORT_SIDE_PX = 256
MEASURES = ("Buckets", "Square")
SMOOTHED = 2
"""Evaluations whose mean is the smoothed loss."""


def main() -> None:
    options = read_options()
    logging.disable(logging.WARNING)
    configure_library_logging()
    print(f"machine: {describe_machine()}, load {os.getloadavg()[0]:.1f}")
    print(f"command: python benchmarks/buckets.py {' '.join(sys.argv[1:])}\n")
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        trained = write_photos(Path(folder), options.photos, first=0)
        held_out = write_photos(Path(folder), options.held_out, first=options.photos)
        for seed in range(options.rounds):
            order = MEASURES if seed % 2 == 0 else MEASURES[::-1]
            curves = {cropping: train(options, cropping, seed, trained, held_out) for cropping in order}
            rounds.append(curves)
            print_round(seed, curves)
    print_ratios(rounds)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "darkroom-tiny-sdxl", help="a folder")
    parser.add_argument("--photos", type=int, default=14)
    parser.add_argument("--held-out", type=int, default=5, help="photos")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--evaluation-steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


# --- photos --------------------------------------------------------------------------------------------------------


def write_photos(folder: Path, count: int, first: int) -> list[Photo]:
    """Photos of the subject: shapes, backgrounds and places of the subject take turns."""
    photos = []
    for number in range(first, first + count):
        path = folder / f"{number:02d}.png"
        photo(number).save(path)
        photos.append(check_photo(path, path.name))
    return photos


def photo(number: int) -> Image.Image:
    """The subject on a plain background that continues to the edges."""
    across, down = SHAPES[number % len(SHAPES)]
    width, height = (round(SHORT_SIDE_PX * each / min(across, down)) for each in (across, down))
    scene = replace(
        SUBJECT, background=list(BACKGROUNDS)[number % len(BACKGROUNDS)], turn_degrees=7.0 * (number % 5 - 2)
    )
    picture = Image.new("RGB", (width, height), background(scene))
    offset = (0.5, 0.2, 0.8)[number % 3]
    corner = (round((width - SHORT_SIDE_PX) * offset), round((height - SHORT_SIDE_PX) * offset))
    picture.paste(draw(scene, SHORT_SIDE_PX), corner)
    return picture


def background(scene: Scene) -> tuple[int, int, int]:
    return BACKGROUNDS[scene.background]


# --- one training --------------------------------------------------------------------------------------------------


@dataclass
class Curve:
    """The held-out losses of a training."""

    seconds: list[float] = field(default_factory=list)
    """Of the training steps until each evaluation."""
    losses: dict[str, list[float]] = field(default_factory=lambda: {measure: [] for measure in MEASURES})

    def smoothed(self, measure: str) -> list[float]:
        """The mean of each loss and those before it."""
        losses = self.losses[measure]
        return [statistics.fmean(losses[max(0, end - SMOOTHED) : end]) for end in range(1, len(losses) + 1)]

    def seconds_to(self, measure: str, level: float) -> float:
        """When the smoothed loss first reaches a level, interpolated between two evaluations."""
        points = list(zip(self.seconds, self.smoothed(measure), strict=True))
        for (before, above), (after, below) in itertools.pairwise(points):
            if below <= level:
                return (
                    after
                    if above <= below
                    else before + (after - before) * (above - max(level, below)) / (above - below)
                )
        raise ValueError(f"the loss never reaches {level}")


class EvaluatedSteps(ProgressTracker):
    """Runs an evaluation at an interval of training steps, and leaves its time out."""

    def __init__(self, spec: TrainJobSpec, every: int, evaluate: Callable[[float], None]) -> None:
        super().__init__(1, plan_training(spec), NullSender())
        self._every, self._evaluate = every, evaluate
        self._seconds, self._resumed = 0.0, 0.0

    def enter(self, stage: Stage, total: int = 0, done: int = 0) -> None:
        super().enter(stage, total, done)
        self._pause(stage is Stage.TRAINING)

    def step(self, step: int, total: int | None = None, **metrics: float) -> None:
        super().step(step, total, **metrics)
        if self.stage is Stage.TRAINING and step % self._every == 0:
            self._seconds += time.perf_counter() - self._resumed
            self._pause(True)

    def _pause(self, is_training: bool) -> None:
        if is_training:
            self._evaluate(self._seconds)
            self._resumed = time.perf_counter()


def train(options: argparse.Namespace, cropping: str, seed: int, photos: list[Photo], held_out: list[Photo]) -> Curve:
    """Train with one kind of crops; returns the held-out losses in both kinds."""
    spec, curve = job_spec(options, cropping, seed), Curve()
    model = find_pretrained(options.model.name, SDXL, options.model.parent)
    session = open_session(model, spec, ProgressTracker(1, {}, NullSender()), StopSignal())
    evaluations = {measure: evaluation(options, session, measure, held_out) for measure in MEASURES}

    def evaluate(seconds: float) -> None:
        curve.seconds.append(seconds)
        for measure, held_out_loss in evaluations.items():
            curve.losses[measure].append(held_out_loss())

    session.progress = EvaluatedSteps(spec, options.evaluation_steps, evaluate)
    session.train(photos)
    return curve


def evaluation(
    options: argparse.Namespace, session: TrainingSession, cropping: str, photos: list[Photo]
) -> Callable[[], float]:
    """Measures the session's loss on photos in one kind of crops, always with the same noise and timesteps."""
    spec = job_spec(options, cropping, 0)
    progress = ProgressTracker(1, plan_training(spec), NullSender())
    preparation = DataPreparation(
        session.pipeline, spec, session.side_px, progress, session.stop_signal, session.remarks
    )
    concepts: list[Concept] = preparation.prepare({"dataset": photos}).concepts
    loss = DiffusionLoss(training_noise_scheduler(session.pipeline.scheduler), None)
    encoder = open_prompt_encoder(session.pipeline, session.device, spec.training, concepts)
    trainer = Trainer(session.pipeline.unet, encoder, loss, spec.training, session.device)
    return lambda: trainer.held_out_loss(concepts, seed=0)


def job_spec(options: argparse.Namespace, cropping: str, seed: int) -> TrainJobSpec:
    training: dict[str, Any] = {
        "rank": 16,
        "layers": "All",
        "learningRate": 5e-4,
        "batchSize": options.batch_size,
        "seed": seed,
        "cropping": cropping,
    }
    return TrainJobSpec.from_dict(
        {
            "modelId": "benchmark",
            "prompt": PROMPT,
            "dataset": {"uri": "s3://nowhere/photos/"},
            "maxSteps": options.steps,
            "training": training,
        }
    )


# --- results -------------------------------------------------------------------------------------------------------


def ratio(curves: dict[str, Curve], measure: str) -> float:
    """Time to the lowest loss that both trainings reach, of buckets to square crops."""
    level = max(min(curve.smoothed(measure)) for curve in curves.values())
    buckets, square = (curves[cropping].seconds_to(measure, level) for cropping in MEASURES)
    return buckets / square


def print_round(seed: int, curves: dict[str, Curve]) -> None:
    for cropping, curve in curves.items():
        ends = ", ".join(f"{each}: {curve.losses[each][0]:.4f} to {curve.smoothed(each)[-1]:.4f}" for each in MEASURES)
        print(
            f"round {seed}, trained as {cropping:>7}: {curve.seconds[-1]:6.1f} s; held-out loss as {ends}", flush=True
        )


def print_ratios(rounds: list[dict[str, Curve]]) -> None:
    print(f"\n{'held-out photos as':>20} {'time to equal loss, buckets / square':>40}")
    for measure in MEASURES:
        ratios = [ratio(curves, measure) for curves in rounds]
        print(f"{measure:>20} {statistics.median(ratios):>40.2f}   ({', '.join(f'{each:.2f}' for each in ratios)})")


if __name__ == "__main__":
    main()
