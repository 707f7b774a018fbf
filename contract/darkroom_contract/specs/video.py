"""Settings of a job's clip."""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.names import BASE_MODEL_PATTERN, MAX_BASE_MODEL_LENGTH
from darkroom_contract.schema import Schema
from darkroom_contract.specs.job import MAX_SEED
from darkroom_contract.specs.start_image import ImageSource


class VideoFit(StrEnum):
    """What happens to an image whose aspect ratio is not exactly the clip's."""

    CROP = "Crop"
    PAD = "Pad"


class Video(Schema):
    """Video settings, used when `allowMotion` is set."""

    start_image: ImageSource | None = Field(
        None,
        description="The picture that the clip begins with, instead of the job's first image. With images.count 0 the "
        "job makes only the clip.",
    )
    frames: int | None = Field(
        None,
        ge=2,
        le=50,
        description="Number of frames. The base model's own when unset (25 for SVD-XT). Memory and time grow with it.",
    )
    fps: int = Field(7, ge=1, le=60, description="Frames per second, of the file and of the model's conditioning.")
    steps: int = Field(
        25,
        ge=1,
        le=200,
        description="Denoising steps of the clip. More steps take longer and give cleaner frames, up to a point.",
    )
    motion_bucket_id: int = Field(
        127, ge=0, le=1023, description="Amount of motion; higher is more. SVD's usual value is 127."
    )
    noise_aug_strength: float = Field(
        0.02,
        ge=0.0,
        le=1.0,
        description="Noise added to the first image: more noise gives more motion and less likeness.",
    )
    fit: VideoFit = Field(
        VideoFit.CROP,
        description="How an image is fitted to the clip, whose sides are multiples of 64 pixels (SVD): Crop cuts "
        "rows or columns at its edges, Pad keeps all of it between two black bars. It is never "
        "stretched.",
    )
    decode_chunk_size: int | None = Field(
        None,
        ge=1,
        le=50,
        description="Frames decoded at once: fewer need less memory and slightly more time. All when unset.",
    )
    min_guidance_scale: float = Field(
        1.0, ge=0.0, le=30.0, description="Guidance scale of the first frame. It changes linearly to that of the last."
    )
    max_guidance_scale: float = Field(
        3.0,
        ge=0.0,
        le=30.0,
        description="Guidance scale of the last frame. At 1 and below the clip is generated without guidance, in "
        "about half the time; minGuidanceScale must then be 1 or below too.",
    )
    seed: int = Field(
        0, ge=0, le=MAX_SEED, description="Seed of the clip. Another seed gives the same image another motion."
    )
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=MAX_BASE_MODEL_LENGTH,
        description="SVD model: a hub repository (owner/name) or a folder of the model root, optionally with "
        "@revision. The cluster's default when unset.",
    )

    @property
    def has_contradictory_guidance(self) -> bool:
        """Whether the last frame's scale turns guidance off for all frames while the first frame's asks for it.

        A decreasing scale, such as from 5 to 3, is valid: diffusers' SVD pipeline interpolates between the two.
        """
        return self.min_guidance_scale > 1 >= self.max_guidance_scale
