"""What captions, caption dropout, masks and repeats do to a LoRA: short trainings, compared by their losses.

Each test trains twice with one setting turned around, and expects each training to be better at what it was shown.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from darkroom_contract.plan import plan_training
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.models.pretrained import PretrainedModel
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.progress_events import NullSender
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.sampling.schedulers import training_noise_scheduler
from darkroom_runner.training.batches import Concept, TrainingImage
from darkroom_runner.training.buckets import square_frame
from darkroom_runner.training.cached_latents import encode_photo
from darkroom_runner.training.dataset import Photo, check_photo
from darkroom_runner.training.diffusion_loss import DiffusionLoss
from darkroom_runner.training.prompt_embeddings import TrainablePromptEncoder
from darkroom_runner.training.session import open_session
from darkroom_runner.training.trainer import Trainer
from darkroom_tiny.draw import Scene, draw

PROMPT = "a photo of sks star"
STEPS = 16
"""Of attention layers at a high learning rate: enough where trainings differ in what their texts or photos show."""
LONG_JOB, LONG_TRAINING = {"maxSteps": 40}, {"layers": "All", "learningRate": 1e-3}
"""Of all layers: for smaller differences, which short trainings show hardly or not at all."""
SIDE_PX, LATENTS = 128, 16

# Under load, a training of some seconds takes minutes.
pytestmark = pytest.mark.timeout(1200)

Measure = Callable[..., float]
"""The loss on a photo with a text, optionally of its left or right half alone."""


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    """Two pictures that share nothing."""
    scenes = [Scene("star", "green", "maroon"), Scene("ring", "orange", "sky")]
    for number, scene in enumerate(scenes):
        draw(scene, SIDE_PX).save(tmp_path / f"{number}.png")
    return [check_photo(tmp_path / f"{number}.png", f"{number}.png") for number in range(len(scenes))]


@pytest.fixture
def train(sdxl_model: PretrainedModel) -> Callable[..., Measure]:
    def run(photos: list[Photo], others: Any = None, job: dict[str, Any] | None = None, **training: Any) -> Measure:
        spec = TrainJobSpec.from_dict(
            {
                "modelId": "m",
                "prompt": PROMPT,
                "dataset": {"uri": "s3://darkroom/photos/"},
                "maxSteps": STEPS,
                "training": {"rank": 8, "learningRate": 2e-3, "batchSize": 2, **training},
                **(job or {}),
            }
        )
        session = open_session(sdxl_model, spec, ProgressTracker(1, plan_training(spec), NullSender()), StopSignal())
        session.train(photos, others)
        session.idle_models.bring_back()
        return measure(session)

    return run


def measure(session: Any) -> Measure:
    pipeline, device = session.pipeline, session.device
    loss = DiffusionLoss(training_noise_scheduler(pipeline.scheduler), None)
    encoder = TrainablePromptEncoder(pipeline, device)
    trainer = Trainer(pipeline.unet, encoder, loss, session.spec.training, device)

    def of(photo: Photo, prompt: str, columns: slice | None = None) -> float:
        crops = encode_photo(pipeline.vae, photo, square_frame((SIDE_PX, SIDE_PX), SIDE_PX), mirror=False)
        if columns is not None:
            mask = torch.zeros(1, LATENTS, LATENTS)
            mask[:, :, columns] = 1.0
            crops = [replace(crops[0], mask=mask)]
        return trainer.held_out_loss([Concept(prompt, [TrainingImage(prompt, crops)])], seed=0)

    return of


def test_the_words_of_a_caption_show_what_its_photo_shows(train: Callable[..., Measure], photos: list[Photo]) -> None:
    """Captions that are swapped teach the words the other photo's content."""
    texts = ["a green star on a maroon background", "a orange ring on a sky background"]

    def advantage(captions: list[str]) -> float:
        """How much better the texts fit to their own photos than to each other's, after a training with captions."""
        trained = train([replace(each, caption=text) for each, text in zip(photos, captions, strict=True)])
        own = [trained(photo, text) for photo, text in zip(photos, texts, strict=True)]
        others = [trained(photo, text) for photo, text in zip(photos, texts[::-1], strict=True)]
        return sum(others) - sum(own)

    assert advantage(texts) > advantage(texts[::-1])


def test_dropped_captions_train_the_empty_prompt(train: Callable[..., Measure], photos: list[Photo]) -> None:
    always, never = (train(photos[:1], job=LONG_JOB, captionDropout=dropout, **LONG_TRAINING) for dropout in (1.0, 0.0))

    assert always(photos[0], "") < never(photos[0], "")
    assert never(photos[0], PROMPT) < always(photos[0], PROMPT)


def test_what_is_outside_of_a_mask_is_learned_less(
    train: Callable[..., Measure], photos: list[Photo], tmp_path: Path
) -> None:
    left, right = slice(0, LATENTS // 2), slice(LATENTS // 2, LATENTS)

    def masked(columns: slice) -> Measure:
        mask, factor = Image.new("L", (SIDE_PX, SIDE_PX)), SIDE_PX // LATENTS
        mask.paste(255, (columns.start * factor, 0, columns.stop * factor, SIDE_PX))
        path = tmp_path / f"mask-{columns.start}"
        mask.save(path, "PNG")
        training = {**LONG_TRAINING, "maskedLoss": {"unmaskedWeight": 0.0}}
        return train([replace(photos[1], mask=path)], job=LONG_JOB, **training)

    of_left, of_right = masked(left), masked(right)

    assert of_left(photos[1], PROMPT, left) < of_right(photos[1], PROMPT, left)
    assert of_right(photos[1], PROMPT, right) < of_left(photos[1], PROMPT, right)


def test_a_concept_with_more_repeats_is_learned_better(train: Callable[..., Measure], photos: list[Photo]) -> None:
    ring = {"prompt": "a photo of zorp", "dataset": {"uri": "s3://darkroom/rings/"}}

    def trained(star_repeats: int, ring_repeats: int) -> Measure:
        job = {"repeats": star_repeats, "concepts": [{**ring, "repeats": ring_repeats}]}
        return train(photos[:1], {"concepts[0].dataset": photos[1:]}, job)

    stars, rings = trained(9, 1), trained(1, 9)

    assert stars(photos[0], PROMPT) < rings(photos[0], PROMPT)
    assert rings(photos[1], ring["prompt"]) < stars(photos[1], ring["prompt"])
