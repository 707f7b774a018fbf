"""Start images and mask of a generation and its clip: fetched before the model is loaded, decoded after.

Called by `generate`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.start_image import ImageSource, Mask, StartImage
from darkroom_runner.run.context import RunContext
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.start_image import fetch_image, read_image, read_mask
from darkroom_runner.sampling.start_picture import StartPicture


@dataclass(frozen=True)
class StartFiles:
    """Downloaded and checked files, with their settings."""

    image: Path
    settings: StartImage
    mask: Path | None = None
    mask_settings: Mask | None = None

    @property
    def sha256(self) -> dict[str, str]:
        """Digests of the files by their field in the job's spec."""
        files = {"startImage": self.image} | ({"mask": self.mask} if self.mask else {})
        return {field: hashlib.sha256(path.read_bytes()).hexdigest() for field, path in files.items()}

    def read(self, remarks: Remarks) -> StartPicture:
        """Raises `ImageInvalidError`."""
        image = read_image(self.image)
        return StartPicture(
            image,
            self._read_mask(image, remarks),
            self.settings.fit,
            self.mask_settings.blur if self.mask_settings else 0,
        )

    def _read_mask(self, image: Image.Image, remarks: Remarks) -> Image.Image | None:
        if self.mask is None or self.mask_settings is None:
            return None
        return read_mask(self.mask, image.size, self.mask_settings, remarks)


@dataclass(frozen=True)
class ClipStart:
    """The image that a clip begins with, and its entry in the clip's metadata."""

    image: Image.Image
    metadata: dict[str, Any]


@dataclass(frozen=True)
class ClipStartFile:
    """A downloaded and checked file, with its source."""

    path: Path
    source: ImageSource

    def read(self) -> ClipStart:
        """Raises `ImageInvalidError`."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return ClipStart(read_image(self.path), {"startImage": self.source.to_dict() | {"sha256": digest}})


def fetch_clip_start(context: RunContext, spec: GenerateJobSpec) -> ClipStartFile | None:
    """Download `video.startImage`; None for a job without a clip or such an image. See `fetch_image` for errors."""
    source = spec.video.start_image
    if not spec.allow_motion or source is None:
        return None
    policy, namespace = context.settings.dataset_policy, context.document.namespace
    return ClipStartFile(
        fetch_image(context.storage, namespace, source, policy, context.scratch, "video.startImage"), source
    )


def fetch_start_files(context: RunContext, spec: GenerateJobSpec) -> StartFiles | None:
    """Download the start image and the mask; None for a job without. See `fetch_image` for what is raised."""
    start, mask = spec.start_image, spec.mask
    if start is None:
        return None
    policy, namespace = context.settings.dataset_policy, context.document.namespace
    image = fetch_image(context.storage, namespace, start, policy, context.scratch)
    if mask is None:
        return StartFiles(image, start)
    path = fetch_image(context.storage, namespace, mask, policy, context.scratch, "mask")
    return StartFiles(image, start, path, mask)
