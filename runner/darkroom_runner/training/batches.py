"""The samples of each training batch: cached latents, texts and weights, deterministic by seed and batch number."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.models.device import generator
from darkroom_runner.training.batch_order import BatchOrder, ImageGroup, Pick, Shape, batch_order
from darkroom_runner.training.cached_latents import CachedLatents
from darkroom_runner.training.tags import changes_prompts, shown_prompt

_TEXTS = -1
"""Purpose of the random numbers for dropout and tag shuffling: apart from a step's others, which stay the same."""


@dataclass(frozen=True)
class TrainingImage:
    """A photo or class image, encoded, and the text that describes it."""

    prompt: str
    """Its caption, or its concept's prompt."""
    crops: list[CachedLatents]
    """The crops that a sample picks from, of one shape."""

    @property
    def shape(self) -> Shape:
        height, width = self.crops[0].mean.shape[-2:]
        return height, width


@dataclass(frozen=True)
class Concept:
    """The images of one subject, and the class images that preserve its class."""

    prompt: str
    images: list[TrainingImage]
    weight: float = 1.0
    """Weight of each of its images in the loss."""
    repeats: int = 1
    """How often an image is shown, relative to the images of other concepts."""
    prior: "Concept | None" = None
    """Class images: one joins each image of the concept. They have images of each shape that the concept has."""


@dataclass(frozen=True)
class Batch:
    """The input of one forward pass with b samples of one shape."""

    latents: torch.Tensor
    """[b, 4, h, w], float32. h and w may differ between batches."""
    time_ids: torch.Tensor
    """[b, 6]"""
    prompts: list[str]
    """b texts, after caption dropout and tag shuffling. Empty: the unconditional prompt."""
    weights: torch.Tensor
    """[b]: weight of each sample in the loss; those of the photos sum to 1, those of class images to their weight."""
    masks: torch.Tensor | None = None
    """[b, 1, h, w], float32: weight of each position in the loss, 1 where it is learned fully. None: 1 everywhere."""


@dataclass(frozen=True)
class _Sample:
    cached: CachedLatents
    prompt: str
    weight: float


def make_batch(concepts: list[Concept], training: Training, number: int, rng: torch.Generator) -> Batch:
    """Batch `number` (from 0): `batchSize` images, and a class image for each whose concept has them.

    `rng` picks crops and samples the latents' noise.
    """
    groups = [ImageGroup(tuple(image.shape for image in each.images), each.repeats) for each in concepts]
    order = batch_order(groups, training.batch_size, training.seed)
    picks = order.picks(number)
    images = [(concepts[pick.concept].images[pick.image], concepts[pick.concept].weight) for pick in picks]
    images += [_class_image(prior, pick, order) for pick in picks if (prior := concepts[pick.concept].prior)]
    samples = [_Sample(_pick_crop(image.crops, rng), image.prompt, weight) for image, weight in images]
    if changes_prompts(training):
        texts_rng = generator(training.seed, _TEXTS, number, 0)
        samples = [
            _Sample(each.cached, shown_prompt(each.prompt, training, texts_rng), each.weight) for each in samples
        ]
    return _stack(samples, training.batch_size, rng)


def evaluation_batches(concepts: list[Concept], size: int, rng: torch.Generator) -> Iterator[Batch]:
    """Every image of the concepts once, in batches of up to `size` samples of one shape; for the held-out loss.

    Of each image the middle crop, with its own text. `rng` samples the latents' noise.
    """
    images = [(image, concept.weight) for concept in concepts for image in concept.images]
    for shape in sorted({image.shape for image, _ in images}):
        fitting = [each for each in images if each[0].shape == shape]
        for first in range(0, len(fitting), size):
            some = fitting[first : first + size]
            samples = [_Sample(image.crops[len(image.crops) // 2], image.prompt, weight) for image, weight in some]
            yield _stack(samples, len(samples), rng)


def _class_image(prior: Concept, pick: Pick, order: BatchOrder) -> tuple[TrainingImage, float]:
    fitting = [image for image in prior.images if image.shape == order.shapes[pick.bucket]]
    return fitting[order.class_image(pick, len(fitting))], prior.weight


def _pick_crop(crops: list[CachedLatents], rng: torch.Generator) -> CachedLatents:
    return crops[int(torch.randint(len(crops), (1,), generator=rng))]


def _stack(samples: list[_Sample], size: int, rng: torch.Generator) -> Batch:
    return Batch(
        latents=torch.stack([each.cached.sample(rng) for each in samples]),
        time_ids=torch.stack([each.cached.time_ids for each in samples]),
        prompts=[each.prompt for each in samples],
        weights=torch.tensor([each.weight / size for each in samples]),
        masks=_masks([each.cached for each in samples]),
    )


def _masks(cached: list[CachedLatents]) -> torch.Tensor | None:
    if all(each.mask is None for each in cached):
        return None
    return torch.stack([torch.ones_like(each.mean[:1]) if each.mask is None else each.mask for each in cached])
