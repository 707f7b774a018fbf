"""What a user asks for: the specs of `TrainJob` and `GenerateJob`.

The only source of the CRDs' schemas, of the gateway's bounds and of the run document. Every string and list is
bounded, every field is described (`kubectl explain` prints these texts), and every field does something.
"""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.names import BASE_MODEL_PATTERN, MODEL_ID_PATTERN
from darkroom_contract.schema import Schema

NOT_BLANK = r"\S"
MAX_SEED = 2**32 - 1
MAX_SECONDS = 30 * 24 * 3600


class JobSpec(Schema):
    """What both kinds share: how a job queues, and how long it may take. All of it may be changed at any time."""

    priority: int = Field(
        0, ge=-1000, le=1000, description="Higher runs first. Equal ones run in the order of creation."
    )
    suspend: bool = Field(
        False, description="true takes the job out of the queue, and stops it when it runs; false puts it back."
    )
    backoff_limit: int = Field(
        2, ge=0, le=10, description="How many more runs are tried after a failure that another try might mend."
    )
    active_deadline_seconds: int | None = Field(
        None, ge=1, le=MAX_SECONDS, description="A run that takes longer than this many seconds fails the job."
    )
    start_deadline_seconds: int = Field(
        600,
        ge=1,
        le=MAX_SECONDS,
        description="A run whose pod has not started after this many seconds gives its slot back and counts as failed.",
    )
    ttl_seconds_after_finished: int | None = Field(
        None, ge=0, le=MAX_SECONDS, description="The job is deleted this many seconds after it has finished."
    )


MUTABLE_FIELDS = frozenset(JobSpec.model_fields)
"""Every other field of a spec is fixed at creation."""


class Dataset(Schema):
    """Where the photos lie."""

    uri: str = Field(
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9][A-Za-z0-9/_.=+-]*$",
        max_length=512,
        description="A folder of photos in object storage, s3://bucket/folder/. Its JPEG, PNG and WebP files are used.",
    )


class LoraLayers(StrEnum):
    """Which layers of the U-Net get adapters."""

    ATTENTION = "Attention"
    ALL = "All"


class LearningRateSchedule(StrEnum):
    """How the learning rate runs over the steps; the names are diffusers'."""

    CONSTANT = "constant"
    COSINE = "cosine"
    LINEAR = "linear"


class PriorPreservation(Schema):
    """Keeps the class of the subject as the base model knows it (DreamBooth, arXiv 2208.12242, section 3.2)."""

    class_prompt: str = Field(
        pattern=NOT_BLANK, max_length=1000, description="The class of the subject, such as: a photo of a dog."
    )
    class_images: int = Field(
        20, ge=1, le=500, description="How many pictures of the class the base model draws before training."
    )
    weight: float = Field(1.0, ge=0.0, le=10.0, description="Weight of the class pictures in the loss.")


class Training(Schema):
    """How a LoRA is trained."""

    rank: int = Field(16, ge=1, le=256, description="Rank of the LoRA's matrices.")
    alpha: int | None = Field(None, ge=1, le=512, description="LoRA scaling, alpha / rank. The rank when unset.")
    layers: LoraLayers = Field(
        LoraLayers.ATTENTION,
        description="Attention: the attention projections. All: the convolutions and feed-forward layers too.",
    )
    train_text_encoders: bool = Field(False, description="Adapt both text encoders as well.")
    learning_rate: float = Field(1e-4, ge=1e-8, le=1.0, description="AdamW's learning rate.")
    learning_rate_schedule: LearningRateSchedule = Field(
        LearningRateSchedule.CONSTANT, description="How the learning rate runs over the steps."
    )
    warmup_steps: int = Field(0, ge=0, le=10000, description="Steps over which the learning rate rises from zero.")
    batch_size: int = Field(1, ge=1, le=64, description="Photos in one forward pass.")
    gradient_accumulation_steps: int = Field(
        1, ge=1, le=64, description="Forward passes in one optimizer step; maxSteps counts optimizer steps."
    )
    max_grad_norm: float = Field(1.0, ge=0.0, le=1000.0, description="Gradients are clipped to this norm.")
    resolution: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        description="Side in pixels to which photos are scaled and cropped. The base model's own size when unset.",
    )
    random_flip: bool = Field(False, description="Mirror half of the photos left to right.")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Seed of every random choice of the run.")
    min_snr_gamma: float | None = Field(
        None, ge=0.1, le=100.0, description="Weigh timesteps by min-SNR (arXiv 2303.09556) with this gamma; 5 is usual."
    )
    prior_preservation: PriorPreservation | None = Field(
        None, description="Keep what the base model knows of the subject's class. Off when unset."
    )
    checkpoint_steps: int = Field(
        100,
        ge=0,
        le=100_000,
        description="The training's state is saved after every so many steps, and a later run of the job goes on from "
        "there. 0: only when the run is told to stop.",
    )
    validation_prompt: str | None = Field(
        None,
        pattern=NOT_BLANK,
        max_length=1000,
        description="Draw this with the finished LoRA, as an artifact to look at.",
    )


class TrainJobSpec(JobSpec):
    """Learn a subject from photos: an SDXL DreamBooth LoRA."""

    model_id: str = Field(
        pattern=MODEL_ID_PATTERN,
        max_length=63,
        description="Name under which the trained LoRA is kept and found again.",
    )
    prompt: str = Field(
        pattern=NOT_BLANK,
        max_length=1000,
        description="The instance prompt: what the photos show, with a rare word for the subject: a photo of sks dog.",
    )
    dataset: Dataset = Field(description="Where the photos lie.")
    max_steps: int = Field(500, ge=1, le=20000, description="Optimizer steps.")
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=200,
        description="SDXL model to start from: a hub repository (owner/name) or a folder of the model root. "
        "The cluster's default when unset.",
    )
    training: Training = Field(default_factory=Training, description="How the LoRA is trained.")


class Scheduler(StrEnum):
    """Samplers, by the names that diffusers' users know."""

    DDIM = "DDIM"
    DPM_PLUS_PLUS = "DPM++"
    EULER = "Euler"
    EULER_ANCESTRAL = "EulerAncestral"
    HEUN = "Heun"
    UNIPC = "UniPC"


class Images(Schema):
    """How the pictures are made."""

    count: int = Field(1, ge=1, le=8, description="How many pictures. Each has a seed of its own: seed, seed + 1, ...")
    width: int | None = Field(
        None, ge=64, le=2048, multiple_of=8, description="Width in pixels. The base model's own when unset."
    )
    height: int | None = Field(
        None, ge=64, le=2048, multiple_of=8, description="Height in pixels. The base model's own when unset."
    )
    steps: int = Field(30, ge=1, le=200, description="Denoising steps.")
    guidance_scale: float = Field(5.0, ge=0.0, le=30.0, description="Classifier-free guidance scale; 1 and below: off.")
    seed: int = Field(0, ge=0, le=MAX_SEED - 8, description="Seed of the first picture.")
    scheduler: Scheduler | None = Field(None, description="Sampler. The base model's own when unset.")


class CacheProfile(StrEnum):
    """How much DeepCache (arXiv 2312.00858) may reuse. Not `Off`: YAML 1.1 reads that as a boolean."""

    DISABLED = "Disabled"
    QUALITY = "Quality"
    BALANCED = "Balanced"
    FAST = "Fast"

    @property
    def interval(self) -> int:
        """Every how many steps the whole U-Net runs."""
        return {CacheProfile.DISABLED: 1, CacheProfile.QUALITY: 2, CacheProfile.BALANCED: 3, CacheProfile.FAST: 5}[self]


class Cache(Schema):
    """DeepCache: reuse the U-Net's deep features between denoising steps."""

    profile: CacheProfile = Field(
        CacheProfile.BALANCED,
        description="Disabled: none. Quality, Balanced, Fast: the whole U-Net runs at every 2nd, 3rd, 5th step.",
    )
    interval: int | None = Field(
        None, ge=1, le=50, description="Every how many steps the whole U-Net runs, in place of the profile's; 1: off."
    )
    branch: int = Field(0, ge=0, le=8, description="The skip branch that is computed anew at every step; 0 is fastest.")

    @property
    def effective_interval(self) -> int:
        return self.profile.interval if self.interval is None else self.interval


class Video(Schema):
    """How the clip is made, when `allowMotion` is set."""

    frames: int | None = Field(None, ge=2, le=50, description="Number of frames. The base model's own when unset.")
    fps: int = Field(7, ge=1, le=60, description="Frames a second, of the file and of the model's conditioning.")
    steps: int = Field(25, ge=1, le=200, description="Denoising steps.")
    motion_bucket_id: int = Field(127, ge=0, le=1023, description="How much moves: higher is more.")
    noise_aug_strength: float = Field(
        0.02, ge=0.0, le=1.0, description="Noise on the first picture: higher is more motion, less likeness."
    )
    decode_chunk_size: int | None = Field(
        None, ge=1, le=50, description="Frames decoded at once: fewer take less memory. All when unset."
    )
    min_guidance_scale: float = Field(1.0, ge=0.0, le=30.0, description="Guidance scale of the first frame.")
    max_guidance_scale: float = Field(3.0, ge=0.0, le=30.0, description="Guidance scale of the last frame.")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Seed of the clip.")
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=200,
        description="SVD model: a hub repository (owner/name) or a folder of the model root. "
        "The cluster's default when unset.",
    )


class GenerateJobSpec(JobSpec):
    """Make pictures from a prompt, and when asked a short video of the first."""

    prompt: str = Field(pattern=NOT_BLANK, max_length=1000, description="What the pictures show.")
    negative_prompt: str = Field("", max_length=1000, description="What they should not show.")
    model_id: str | None = Field(
        None,
        pattern=MODEL_ID_PATTERN,
        max_length=63,
        description="Use the LoRA that a TrainJob made under this name. Without: the base model as it is.",
    )
    lora_scale: float = Field(1.0, ge=0.0, le=2.0, description="Strength of the LoRA.")
    allow_motion: bool = Field(False, description="Also make a short video (SVD) from the first picture.")
    images: Images = Field(default_factory=Images, description="How the pictures are made.")
    cache: Cache = Field(default_factory=Cache, description="DeepCache, for pictures and video.")
    video: Video = Field(default_factory=Video, description="How the video is made, when allowMotion is set.")
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=200,
        description="SDXL model: a hub repository (owner/name) or a folder of the model root. "
        "The cluster's default when unset.",
    )
