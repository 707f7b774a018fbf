"""From the photos of a training to its encoded concepts: held-out photos, latents, texts and class images.

The session calls it with the loaded pipeline, before adapters are added: class images are the base model's.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from darkroom_contract.progress import Stage
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.training.batches import Concept, TrainingImage
from darkroom_runner.training.buckets import Frame, Framing, Size, bucket_frame, framing, nearest
from darkroom_runner.training.cached_latents import encode_photo
from darkroom_runner.training.dataset import Photo
from darkroom_runner.training.photo_remarks import remark_cropped, remark_truncated_captions, remark_upscaled
from darkroom_runner.training.prior_preservation import ClassImages, generate_class_latents, share_out
from darkroom_runner.training.subjects import Photos, Subject, subjects_of


@dataclass(frozen=True)
class TrainingData:
    """The encoded images of a training."""

    concepts: list[Concept]
    held_out: list[Concept]
    """The held-out photos, by concept, without class images; empty if none are held out."""

    @property
    def all_concepts(self) -> list[Concept]:
        return [*self.concepts, *self.held_out]


@dataclass
class DataPreparation:
    """Encodes the photos of a training and generates its class images."""

    pipeline: Any
    spec: TrainJobSpec
    side_px: int
    progress: ProgressTracker
    stop_signal: StopSignal
    remarks: Remarks
    _encoded: int = field(default=0, init=False)
    """Number of photos."""

    @property
    def framing(self) -> Framing:
        """How photos are cropped. The U-Net halves the latents at each level but the last."""
        unit_px = self.pipeline.vae_scale_factor * 2 ** (len(self.pipeline.unet.config.down_block_types) - 1)
        return framing(self.spec.training.cropping, self.side_px, unit_px)

    def prepare(self, photos: Photos) -> TrainingData:
        """Raises `DatasetInvalidError` and `NonFiniteOutputError`."""
        self._remark(photos)
        subjects = subjects_of(self.spec, photos)
        self.progress.enter(Stage.ENCODING, sum(map(len, photos.values())))
        concepts = [self._concept(subject) for subject in subjects]
        held_out = [self._held_out(subject) for subject in subjects if subject.held_out]
        return TrainingData(self._add_class_images(concepts, subjects), held_out)

    def _remark(self, photos: Photos) -> None:
        together = [photo for of_dataset in photos.values() for photo in of_dataset]
        remark_upscaled(together, self.framing, self.remarks)
        remark_cropped(together, self.framing, self.remarks)
        remark_truncated_captions(self.pipeline, together, self.remarks)

    def _concept(self, subject: Subject) -> Concept:
        """A subject's concept, with its own class pictures if it has some."""
        mirror, frame = self.spec.training.random_flip, self.framing.frame
        images = [self._encode(photo, frame(photo.size_px), subject.prompt, mirror) for photo in subject.photos]
        prior = self._class_pictures(subject, mirror) if subject.class_photos else None
        return Concept(subject.prompt, images, repeats=subject.repeats, prior=prior)

    def _held_out(self, subject: Subject) -> Concept:
        frame = self.framing.frame
        images = [self._encode(each, frame(each.size_px), subject.prompt, mirror=False) for each in subject.held_out]
        return Concept(subject.prompt, images)

    def _class_pictures(self, subject: Subject, mirror: bool) -> Concept | None:
        """The user's class pictures, in the shapes of the subject's photos."""
        if subject.prior is None:
            return None
        prompt, photos = subject.prior.class_prompt, subject.class_photos
        frames = class_frames([photo.size_px for photo in photos], list(self._sizes(subject)), self.framing)
        images = [self._encode_all(*each, prompt, mirror) for each in zip(photos, frames, strict=True)]
        return Concept(prompt, [image for of_photo in images for image in of_photo], subject.prior.weight)

    def _encode(self, photo: Photo, frame: Frame, prompt: str, mirror: bool) -> TrainingImage:
        [image] = self._encode_all(photo, [frame], prompt, mirror)
        return image

    def _encode_all(self, photo: Photo, frames: list[Frame], prompt: str, mirror: bool) -> list[TrainingImage]:
        """One photo, cropped in several ways."""
        self.stop_signal.check()
        masked = self.spec.training.masked_loss
        weight = None if masked is None else masked.unmasked_weight
        images = [
            TrainingImage(photo.caption or prompt, encode_photo(self.pipeline.vae, photo, frame, mirror, weight))
            for frame in frames
        ]
        self._encoded += 1
        self.progress.step(self._encoded)
        return images

    def _sizes(self, subject: Subject) -> Counter[Size]:
        """Number of the subject's photos by the size that they are cropped to."""
        return Counter(self.framing.frame(photo.size_px).size_px for photo in subject.photos)

    def _add_class_images(self, concepts: list[Concept], subjects: list[Subject]) -> list[Concept]:
        """Generate the class images of all concepts that have a class and no pictures of it."""
        owners = [i for i, each in enumerate(subjects) if each.prior is not None and not each.class_photos]
        wanted = [(owner, images) for owner in owners for images in self._class_images(subjects[owner])]
        if not wanted:
            return concepts
        self.progress.enter(Stage.DRAWING_CLASS_IMAGES)
        seed = self.spec.training.seed
        latents = generate_class_latents(
            self.pipeline, [images for _, images in wanted], seed, self._on_batch_step, self.remarks
        )
        priors: dict[int, list[TrainingImage]] = {owner: [] for owner in owners}
        for (owner, images), generated in zip(wanted, latents, strict=True):
            priors[owner] += [TrainingImage(images.prompt, [each]) for each in generated]
        return [
            replace(concept, prior=_class_concept(subject, priors[index])) if index in priors else concept
            for index, (concept, subject) in enumerate(zip(concepts, subjects, strict=True))
        ]

    def _class_images(self, subject: Subject) -> list[ClassImages]:
        """The class images to generate for a subject: never more than the steps can use, but one of each size."""
        if subject.prior is None:
            return []
        training, sizes = self.spec.training, self._sizes(subject)
        shown = self.spec.max_steps * training.batch_size * training.gradient_accumulation_steps
        counts = share_out(min(subject.prior.class_images, shown), sizes)
        return [ClassImages(subject.prior.class_prompt, size, count) for size, count in counts.items()]

    def _on_batch_step(self, batch: int, batches: int, step: int, total: int) -> None:
        self.stop_signal.check()
        self.progress.part_step(batch, batches, step, total)


def _class_concept(subject: Subject, images: list[TrainingImage]) -> Concept | None:
    return None if subject.prior is None else Concept(subject.prior.class_prompt, images, subject.prior.weight)


def class_frames(photos_px: list[Size], sizes: list[Size], framing: Framing) -> list[list[Frame]]:
    """The crops of each class picture: to the nearest of the `sizes` of the subject's photos.

    A size that is the nearest of none gets all class pictures, so that each batch can have some.
    """
    if not framing.buckets:
        return [[framing.frame(size_px)] for size_px in photos_px]
    homes = [nearest(size_px, tuple(sizes)) for size_px in photos_px]
    orphans = [size for size in sizes if size not in homes]
    return [
        [bucket_frame(size_px, size) for size in (home, *orphans)]
        for size_px, home in zip(photos_px, homes, strict=True)
    ]
