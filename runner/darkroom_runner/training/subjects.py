"""The concepts of a job with their photos, before encoding. Imports no torch."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import PriorPreservation
from darkroom_runner.training.dataset import Photo
from darkroom_runner.training.held_out import held_out_counts, split_held_out

log = logging.getLogger(__name__)

Photos = Mapping[str, list[Photo]]
"""The photos of each dataset of a job, by the path of its field; see `TrainJobSpec.datasets`."""


@dataclass(frozen=True)
class Subject:
    """A concept of the spec and its photos."""

    prompt: str
    photos: list[Photo]
    held_out: list[Photo]
    repeats: int
    prior: PriorPreservation | None
    class_photos: list[Photo]
    """The user's own class pictures; empty to generate them."""


def subjects_of(spec: TrainJobSpec, photos: Photos) -> list[Subject]:
    """The job's own concept first. Raises `DatasetInvalidError` if too many photos are held out."""
    concepts = [("dataset", "training", spec.prompt, spec.repeats, spec.training.prior_preservation)]
    for index, each in enumerate(spec.concepts):
        path = f"concepts[{index}]"
        concepts.append((f"{path}.dataset", path, each.prompt, each.repeats, each.prior_preservation))
    counts = held_out_counts({path: len(photos[path]) for path, *_ in concepts}, spec.training.held_out_photos)
    subjects = []
    for path, owner, prompt, repeats, prior in concepts:
        trained, held_out = split_held_out(photos[path], counts[path], spec.training.seed)
        class_photos = photos.get(f"{owner}.priorPreservation.dataset", [])
        subjects.append(Subject(prompt, trained, held_out, repeats, prior, class_photos))
    return subjects


def log_subjects(subjects: list[Subject], masked: bool) -> None:
    """Log what is trained on; `masked`: masks are used."""
    for subject in subjects:
        photos = subject.photos
        captions = sum(photo.caption is not None for photo in photos)
        masks = sum(masked and photo.has_mask for photo in photos)
        own = f", {len(subject.class_photos)} own class pictures" if subject.class_photos else ""
        held_out = ", ".join(photo.name for photo in subject.held_out) or "none"
        log.info(
            "training %r on %d photos (%d with captions, %d with masks)%s; held out: %s",
            subject.prompt,
            len(photos),
            captions,
            masks,
            own,
            held_out,
        )


def captions_by_prompt(subjects: list[Subject]) -> dict[str, list[str]]:
    """The text that each trained photo is shown with, by instance prompt."""
    captions: dict[str, list[str]] = {}
    for subject in subjects:
        texts = [subject.prompt if photo.caption is None else photo.caption for photo in subject.photos]
        captions[subject.prompt] = captions.get(subject.prompt, []) + texts
    return captions
