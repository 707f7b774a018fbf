"""The spec of `GenerateJob`: prompt, images, cache and video.

The only source of the CRD's schema, of the gateway's bounds and of the run document.
"""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.names import (
    BASE_MODEL_PATTERN,
    MAX_BASE_MODEL_LENGTH,
    MAX_MODEL_REFERENCE_LENGTH,
    MODEL_REFERENCE_PATTERN,
)
from darkroom_contract.schema import Schema
from darkroom_contract.specs.job import MAX_SEED, NOT_BLANK, JobSpec
from darkroom_contract.specs.lora import MAX_LORAS, LoraUse


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


class Images(Schema):
    """Image settings."""

    count: int = Field(
        1,
        ge=1,
        le=8,
        description="Number of images. Each has its own seed: seed, seed + 1, ... They are generated one after "
        "another, so memory does not grow with the number.",
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
        le=MAX_SEED - 8,
        description="Seed of the first image. The same job with the same seed generates the same image.",
    )
    scheduler: Scheduler | None = Field(
        None,
        description="Sampler. The base model's own when unset. Few-step LoRAs need theirs: LCM for LCM-LoRA, TCD for "
        "Hyper-SD and TCD, EulerTrailing for SDXL-Lightning, LCM for DMD2.",
    )


class CacheProfile(StrEnum):
    """How much DeepCache (arXiv 2312.00858) reuses. Not `Off`: YAML 1.1 reads that as a boolean."""

    DISABLED = "Disabled"
    QUALITY = "Quality"
    BALANCED = "Balanced"
    FAST = "Fast"

    @property
    def interval(self) -> int:
        """Steps between two runs of the whole U-Net."""
        return {CacheProfile.DISABLED: 1, CacheProfile.QUALITY: 2, CacheProfile.BALANCED: 3, CacheProfile.FAST: 5}[self]


class Cache(Schema):
    """DeepCache: reuse the U-Net's deep features between denoising steps."""

    profile: CacheProfile = Field(
        CacheProfile.BALANCED,
        description="Disabled: no caching. Quality, Balanced, Fast: the whole U-Net runs at every 2nd, 3rd, 5th "
        "step. A larger interval is faster and changes the image more.",
    )
    interval: int | None = Field(
        None,
        ge=1,
        le=50,
        description="Steps between two runs of the whole U-Net; overrides the profile. 1 disables caching.",
    )
    branch: int = Field(
        0,
        ge=0,
        le=8,
        description="Skip branch that is recomputed at every step; 0 is fastest. A higher branch recomputes more "
        "and changes the image less. SDXL has 0 to 8, smaller models fewer.",
    )

    @property
    def effective_interval(self) -> int:
        return self.profile.interval if self.interval is None else self.interval


class VideoFit(StrEnum):
    """What happens to an image whose aspect ratio is not exactly the clip's."""

    CROP = "Crop"
    PAD = "Pad"


class Video(Schema):
    """Video settings, used when `allowMotion` is set."""

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


class GenerateJobSpec(JobSpec):
    """What to generate. After creation only limits, deadlines, priority and suspend may be changed."""

    prompt: str = Field(
        pattern=NOT_BLANK,
        max_length=1000,
        description="What the images show. For a LoRA's subject, use the words of its training.",
    )
    negative_prompt: str = Field(
        "", max_length=1000, description="What the images should not show. Ignored when guidance is off."
    )
    model_id: str | None = Field(
        None,
        pattern=MODEL_REFERENCE_PATTERN,
        max_length=MAX_MODEL_REFERENCE_LENGTH,
        description="LoRA to use: the modelId of a TrainJob in this namespace, or of an imported model; optionally "
        "with a saved step, such as my-dog@200, or my-dog@best. The short form of loras. The plain base model when "
        "both are unset.",
    )
    lora_scale: float = Field(
        1.0,
        ge=0.0,
        le=2.0,
        description="Strength of the LoRA, when modelId is set. 0 disables it; above 1 exaggerates it.",
    )
    loras: tuple[LoraUse, ...] = Field(
        (),
        max_length=MAX_LORAS,
        description="Several LoRAs at once, each with its strength. Not together with modelId.",
    )
    allow_motion: bool = Field(False, description="Also make a short video (SVD) from the first image.")
    images: Images = Field(default_factory=Images, description="Number, size, steps, guidance and seed of the images.")
    cache: Cache = Field(
        default_factory=Cache,
        description="DeepCache, for images and video: reuses the U-Net's deep features between denoising steps "
        "(arXiv 2312.00858).",
    )
    video: Video = Field(
        default_factory=Video, description="Frames, motion and guidance of the clip, when allowMotion is set."
    )
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=MAX_BASE_MODEL_LENGTH,
        description="SDXL model: a hub repository (owner/name) or a folder of the model root, optionally with "
        "@revision. The cluster's default when unset. With a LoRA, the model that it was trained on.",
    )

    @property
    def contradiction(self) -> str | None:
        """Two settings that contradict each other, and what to do, in whole sentences. None when there are none.

        The CRD refuses the same at creation (crd/definitions.py). Jobs that are older than the rule, or than the CRDs,
        are checked here."""
        if self.loras and self.model_id is not None:
            return "modelId is the short form of loras: set only one of the two."
        if any(lora.is_ambiguous for lora in self.loras):
            return "Each of loras needs exactly one of modelId and uri."
        names = [lora.name for lora in self.loras]
        if len(set(names)) < len(names):
            return "loras has the same LoRA twice. Add up the scales."
        if not (self.allow_motion and self.video.has_contradictory_guidance):
            return None
        return (
            f"video.minGuidanceScale is {self.video.min_guidance_scale:g} and video.maxGuidanceScale, "
            f"{self.video.max_guidance_scale:g}, turns guidance off. Raise the latter above 1 or lower the former."
        )

    @property
    def used_loras(self) -> tuple[LoraUse, ...]:
        """All LoRAs of the job: those of `loras`, or the one of the short form."""
        if self.model_id is None:
            return self.loras
        return (LoraUse(model_id=self.model_id, scale=self.lora_scale),)

    @property
    def model_references(self) -> tuple[str, ...]:
        """The models of this namespace that the job uses, such as `my-dog` and `my-dog@200`."""
        if self.model_id is not None:
            return (self.model_id,)
        return tuple(lora.model_id for lora in self.loras if lora.model_id is not None)

    @property
    def lora_uris(self) -> tuple[str, ...]:
        """LoRA files that the job reads from outside of its namespace's models."""
        return tuple(lora.uri for lora in self.loras if lora.uri is not None)

    @property
    def is_guided(self) -> bool:
        """Whether classifier-free guidance is on; without it the negative prompt is ignored."""
        return self.images.guidance_scale > 1
