"""Settings of a job's images: number, size, steps, sampler, file format."""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.schema import Schema
from darkroom_contract.specs.job import MAX_SEED

MAX_IMAGES = 8


class Scheduler(StrEnum):
    """Samplers, by the names that users of diffusers know."""

    DDIM = "DDIM"
    DPM_PLUS_PLUS = "DPM++"
    EULER = "Euler"
    EULER_ANCESTRAL = "EulerAncestral"
    EULER_TRAILING = "EulerTrailing"
    HEUN = "Heun"
    LCM = "LCM"
    TCD = "TCD"
    UNIPC = "UniPC"


class ImageFormat(StrEnum):
    """File formats of images."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WebP"
    AVIF = "AVIF"

    @property
    def suffix(self) -> str:
        """Of file names, with its dot."""
        return {
            ImageFormat.PNG: ".png",
            ImageFormat.JPEG: ".jpg",
            ImageFormat.WEBP: ".webp",
            ImageFormat.AVIF: ".avif",
        }[self]

    @property
    def content_type(self) -> str:
        return f"image/{self.value.lower()}"


class VaeTiling(StrEnum):
    """Whether latents are decoded in tiles."""

    AUTO = "Auto"
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Images(Schema):
    """Image settings."""

    count: int = Field(
        1,
        ge=0,
        le=MAX_IMAGES,
        description="Number of images. Each has its own seed: seed, seed + 1, ... They are generated one after "
        "another, so memory does not grow with the number. 0 makes only the clip of video.startImage.",
    )
    width: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        description="Width in pixels. The base model's native size when unset (1024 for SDXL).",
    )
    height: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        description="Height in pixels. The base model's native size when unset (1024 for SDXL).",
    )
    steps: int = Field(
        30,
        ge=1,
        le=200,
        description="Denoising steps per image. More steps take longer and add detail, up to a point.",
    )
    guidance_scale: float = Field(
        5.0,
        ge=0.0,
        le=30.0,
        description="Classifier-free guidance scale: how closely the image follows the prompt. At 1 and below "
        "guidance is off, which takes about half the time and ignores negativePrompt.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=MAX_SEED - MAX_IMAGES,
        description="Seed of the first image. The same job with the same seed generates the same image.",
    )
    scheduler: Scheduler | None = Field(
        None,
        description="Sampler. The base model's own when unset. Few-step LoRAs need theirs: LCM for LCM-LoRA, TCD for "
        "Hyper-SD and TCD, EulerTrailing for SDXL-Lightning, LCM for DMD2.",
    )
    clip_skip: int = Field(
        0,
        ge=0,
        le=10,
        description="Last layers of the text encoders to skip, in addition to the one that SDXL itself skips. Some "
        "models were trained with 1. Other tools count from 1: their clip skip 2 is 1 here.",
    )
    vae_tiling: VaeTiling = Field(
        VaeTiling.AUTO,
        description="Decode large images in overlapping tiles, which needs a fraction of the memory. Auto: when the "
        "image has more pixels than a square of 1.5 times the base model's own side (1536×1536 for SDXL). Enabled: "
        "always, in tiles of half that side, which may show faint seams.",
    )
    preview_steps: int = Field(
        5,
        ge=0,
        le=200,
        description="Show a small preview on the event stream after every this many denoising steps. 0: none.",
    )
    format: ImageFormat = Field(
        ImageFormat.PNG,
        description="File format. PNG is lossless; JPEG, WebP and AVIF are smaller. All hold the settings as metadata.",
    )
    quality: int = Field(
        90, ge=1, le=100, description="Quality of JPEG, WebP and AVIF: higher is better and larger. Unused for PNG."
    )
    grid: bool = Field(False, description="Also save all images of the job in one grid, when there is more than one.")
