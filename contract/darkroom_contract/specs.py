"""The specs of `TrainJob` and `GenerateJob`: the only source of the CRDs' schemas, the gateway's bounds and the run
document."""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.names import BASE_MODEL_PATTERN, DATASET_URI_PATTERN, MAX_BASE_MODEL_LENGTH, MODEL_ID_PATTERN
from darkroom_contract.schema import Schema

NOT_BLANK = r"\S"
MAX_SEED = 2**32 - 1
MAX_SECONDS = 30 * 24 * 3600


class JobSpec(Schema):
    """Queueing and limits, the same for both kinds. All of it may be changed at any time."""

    priority: int = Field(
        0,
        ge=-1000,
        le=1000,
        description="Jobs with a higher priority run first; equal ones run in order of creation. A running job is"
        " never preempted. May be changed while the job waits.",
    )
    suspend: bool = Field(
        False,
        description="true removes the job from the queue and stops its run, if any: a training first saves its "
        "state and later resumes from it. false queues the job again, at the place of its priority "
        "and age.",
    )
    backoff_limit: int = Field(
        2,
        ge=0,
        le=10,
        description="Failed runs before the job fails. Only failures that another run might not hit count, and "
        "the waits between runs grow. Invalid input fails the job at once.",
    )
    active_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=MAX_SECONDS,
        description="Longest duration of one run, in seconds from the start of its container. A longer run is "
        "stopped and the job fails, without a retry. No limit when unset.",
    )
    start_deadline_seconds: int = Field(
        600,
        ge=1,
        le=MAX_SECONDS,
        description="Seconds from the creation of a run's pod until its container must have started: GPU "
        "scheduling and image pull included. After that the run counts as failed and releases its "
        "slot.",
    )
    ttl_seconds_after_finished: int | None = Field(
        None,
        ge=0,
        le=MAX_SECONDS,
        description="Seconds after its end until the job is deleted, with its pod. Its files in object storage "
        "are kept, unless it has the label darkroom.dev/delete-files. The job is kept when unset.",
    )


MUTABLE_FIELDS = frozenset(JobSpec.model_fields)
"""Every other field of a spec is immutable after creation."""


class Dataset(Schema):
    """Location of the photos."""

    uri: str = Field(
        pattern=DATASET_URI_PATTERN,
        max_length=512,
        description="A folder of photos in object storage: s3://bucket/datasets/<namespace>/folder/ in Darkroom's"
        " own bucket, or a folder that the deployment allows. The JPEG, PNG, WebP, AVIF and HEIC "
        "files directly in it are used: 1 to 100 files, each at most 25 MiB (500 MiB in all) and at "
        "least 64 pixels a side. Other files are skipped, with a remark in the status.",
    )


class LoraLayers(StrEnum):
    """Layers of the U-Net that get adapters."""

    ATTENTION = "Attention"
    ALL = "All"


class LearningRateSchedule(StrEnum):
    """Learning rate schedules, by diffusers' names."""

    CONSTANT = "constant"
    COSINE = "cosine"
    LINEAR = "linear"


class PriorPreservation(Schema):
    """Prior preservation (DreamBooth, arXiv 2208.12242, section 3.2): generated class images join the loss."""

    class_prompt: str = Field(
        pattern=NOT_BLANK,
        max_length=1000,
        description="The subject's class, without its rare word, such as: a photo of a dog.",
    )
    class_images: int = Field(
        20,
        ge=1,
        le=500,
        description="Class images that the base model generates before training, with DeepCache; never more than "
        "the steps can use. Each takes about as long as one generated image. A resumed run generates "
        "them again.",
    )
    weight: float = Field(
        1.0,
        ge=0.0,
        le=10.0,
        description="Weight of the class images in the loss; the subject's photos have 1. A higher weight "
        "preserves the class better and learns the subject more slowly.",
    )


class Training(Schema):
    """Training settings of a LoRA."""

    rank: int = Field(
        16,
        ge=1,
        le=256,
        description="Rank of the LoRA matrices: how much the LoRA can learn. File size and optimizer memory grow "
        "with it.",
    )
    alpha: int | None = Field(
        None,
        ge=1,
        le=512,
        description="LoRA scaling: the adapters' output is multiplied by alpha / rank. Equal to the rank when "
        "unset, a factor of 1.",
    )
    layers: LoraLayers = Field(
        LoraLayers.ATTENTION,
        description="Attention: the U-Net's attention projections. All: its convolutions and feed-forward layers "
        "too, which learns more from few photos and makes a larger file.",
    )
    train_text_encoders: bool = Field(
        False,
        description="Train adapters of both text encoders as well. Binds the subject closer to its word, and "
        "needs more memory.",
    )
    learning_rate: float = Field(
        1e-4,
        ge=1e-8,
        le=1.0,
        description="Peak learning rate of AdamW. Lower it when the loss diverges or images look overfitted.",
    )
    learning_rate_schedule: LearningRateSchedule = Field(
        LearningRateSchedule.CONSTANT,
        description="Learning rate schedule: constant, or decay to zero by the last step along a cosine (cosine) "
        "or a line (linear).",
    )
    warmup_steps: int = Field(
        0,
        ge=0,
        le=10000,
        description="Optimizer steps at the start over which the learning rate rises linearly from zero.",
    )
    batch_size: int = Field(
        1,
        ge=1,
        le=64,
        description="Photos in one forward pass; with prior preservation, as many class images in addition. "
        "Memory grows with it.",
    )
    gradient_accumulation_steps: int = Field(
        1,
        ge=1,
        le=64,
        description="Forward passes per optimizer step: the effect of a larger batch without its memory. maxSteps"
        " counts optimizer steps.",
    )
    max_grad_norm: float = Field(
        1.0, ge=0.0, le=1000.0, description="Gradients are clipped to this norm. 0 disables clipping."
    )
    resolution: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        description="Side in pixels to which photos are scaled and cropped. The base model's native size when "
        "unset (1024 for SDXL). A lower resolution needs less memory and time.",
    )
    random_flip: bool = Field(
        False,
        description="Mirror half of the photos horizontally. Not for faces, text, or anything with a left and a "
        "right side.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=MAX_SEED,
        description="Seed of every random choice of the run. The same job with the same seed gives the same LoRA,"
        " bit for bit on a CPU.",
    )
    min_snr_gamma: float | None = Field(
        None,
        ge=0.1,
        le=100.0,
        description="Min-SNR loss weighting over timesteps (arXiv 2303.09556) with this gamma; 5 is usual. "
        "Uniform weighting when unset.",
    )
    prior_preservation: PriorPreservation | None = Field(
        None,
        description="Prior preservation: keeps the base model's idea of the class, so that not every dog becomes "
        "this one. Off when unset; a step takes about twice as long with it.",
    )
    checkpoint_steps: int = Field(
        100,
        ge=0,
        le=100_000,
        description="Interval in steps at which the training state is saved to object storage; a later run of the"
        " job resumes from it. 0: save only when the run is stopped.",
    )
    validation_prompt: str | None = Field(
        None,
        pattern=NOT_BLANK,
        max_length=1000,
        description="Generate an image of this prompt with the finished LoRA, as an artifact. None when unset.",
    )


class TrainJobSpec(JobSpec):
    """What to train, and on which photos. After creation only limits, deadlines, priority and suspend may be
    changed."""

    model_id: str = Field(
        pattern=MODEL_ID_PATTERN,
        max_length=63,
        description="Name under which the trained LoRA is stored in this namespace. Letters, digits, dot, "
        "underscore and hyphen. A later training of the same name replaces it once it has succeeded.",
    )
    prompt: str = Field(
        pattern=NOT_BLANK,
        max_length=1000,
        description="The instance prompt: what the photos show, with a rare word for the subject, such as: a "
        "photo of sks dog. Prompts with the same words show the subject later.",
    )
    dataset: Dataset = Field(description="The photos to learn from, in object storage.")
    max_steps: int = Field(
        500,
        ge=1,
        le=20000,
        description="Optimizer steps. More steps learn the subject better, until they overfit; a few hundred suit"
        " a handful of photos.",
    )
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=MAX_BASE_MODEL_LENGTH,
        description="SDXL model to train: a hub repository (owner/name) or a folder of the model root, optionally"
        " with @revision (a branch, a tag, or a commit, which never changes). The cluster's default "
        "when unset.",
    )
    training: Training = Field(
        default_factory=Training, description="Training settings. The defaults suit SDXL at its native size."
    )


class Scheduler(StrEnum):
    """Samplers, by the names that users of diffusers know."""

    DDIM = "DDIM"
    DPM_PLUS_PLUS = "DPM++"
    EULER = "Euler"
    EULER_ANCESTRAL = "EulerAncestral"
    HEUN = "Heun"
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
    scheduler: Scheduler | None = Field(None, description="Sampler. The base model's own when unset.")


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
        pattern=MODEL_ID_PATTERN,
        max_length=63,
        description="LoRA to use: the modelId of a TrainJob in this namespace. The plain base model when unset.",
    )
    lora_scale: float = Field(
        1.0,
        ge=0.0,
        le=2.0,
        description="Strength of the LoRA, when modelId is set. 0 disables it; above 1 exaggerates it.",
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

        The CRD refuses the same at creation (crd.py). Jobs that are older than the rule, or than the CRDs, are checked
        here."""
        if not (self.allow_motion and self.video.has_contradictory_guidance):
            return None
        return (
            f"video.minGuidanceScale is {self.video.min_guidance_scale:g} and video.maxGuidanceScale, "
            f"{self.video.max_guidance_scale:g}, turns guidance off. Raise the latter above 1 or lower the former."
        )

    @property
    def is_guided(self) -> bool:
        """Whether classifier-free guidance is on; without it the negative prompt is ignored."""
        return self.images.guidance_scale > 1
