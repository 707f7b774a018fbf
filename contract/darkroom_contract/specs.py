"""What a user asks for: the specs of `TrainJob` and `GenerateJob`.

The only source of the CRDs' schemas, of the gateway's bounds and of the run document. Every string and list is
bounded, every field is described (`kubectl explain` prints these texts), and every field does something.
"""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.names import BASE_MODEL_PATTERN, DATASET_URI_PATTERN, MAX_BASE_MODEL_LENGTH, MODEL_ID_PATTERN
from darkroom_contract.schema import Schema

NOT_BLANK = r"\S"
MAX_SEED = 2**32 - 1
MAX_SECONDS = 30 * 24 * 3600


class JobSpec(Schema):
    """What both kinds share: how a job queues, and how long it may take. All of it may be changed at any time."""

    priority: int = Field(
        0,
        ge=-1000,
        le=1000,
        description="Higher runs first; equal ones run in the order of creation. A job that runs is never pushed out "
        "by one of higher priority. May be changed while the job waits.",
    )
    suspend: bool = Field(
        False,
        description="true takes the job out of the queue, and stops its run if it has one: a training saves its "
        "state first, and goes on from it later. false puts it back, at the place that its priority and "
        "age give it.",
    )
    backoff_limit: int = Field(
        2,
        ge=0,
        le=10,
        description="How many failed runs are forgiven before the job fails. Only failures that another run might "
        "mend count, and the waits between runs grow. Bad input fails the job at once.",
    )
    active_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=MAX_SECONDS,
        description="Seconds that one run may take, from when its container starts. A run that takes longer is "
        "stopped and the job fails, without another try. No limit when unset.",
    )
    start_deadline_seconds: int = Field(
        600,
        ge=1,
        le=MAX_SECONDS,
        description="Seconds that a run may take from the making of its pod until its container starts: finding a "
        "GPU, pulling the image. After that it gives its slot back, and counts as a failed run.",
    )
    ttl_seconds_after_finished: int | None = Field(
        None,
        ge=0,
        le=MAX_SECONDS,
        description="Seconds after its end until the job is deleted, with its pod. Its files in object storage stay, "
        "unless it carries the label darkroom.dev/delete-files. Kept until somebody deletes it when unset.",
    )


MUTABLE_FIELDS = frozenset(JobSpec.model_fields)
"""Every other field of a spec is fixed at creation."""


class Dataset(Schema):
    """Where the photos lie."""

    uri: str = Field(
        pattern=DATASET_URI_PATTERN,
        max_length=512,
        description="A folder of photos in object storage: s3://bucket/datasets/<namespace>/folder/ in Darkroom's own "
        "bucket, or a folder that the deployment allows. The JPEG, PNG, WebP, AVIF and HEIC "
        "files that lie right in it are used: 1 to 100 of them, each at most 25 MiB (500 MiB together) and at least "
        "64 pixels a side. Other files are left out, with a remark in the status.",
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
        pattern=NOT_BLANK,
        max_length=1000,
        description="The class of the subject, without the rare word for it, such as: a photo of a dog.",
    )
    class_images: int = Field(
        20,
        ge=1,
        le=500,
        description="How many pictures of the class the base model draws before training, through DeepCache; never "
        "more than the steps can show. Each takes about as long as one generated picture; a run that goes on from a "
        "saved state draws them again.",
    )
    weight: float = Field(
        1.0,
        ge=0.0,
        le=10.0,
        description="Weight of the class pictures in the loss, where the subject's own photos have 1. Higher keeps "
        "more of the class and learns the subject more slowly.",
    )


class Training(Schema):
    """How a LoRA is trained."""

    rank: int = Field(
        16,
        ge=1,
        le=256,
        description="Rank of the LoRA's matrices: how much it can learn. Its file, and the memory of its optimizer, "
        "grow with it.",
    )
    alpha: int | None = Field(
        None,
        ge=1,
        le=512,
        description="LoRA scaling: what the adapters say is multiplied by alpha / rank. The rank when unset, so that "
        "the factor is 1.",
    )
    layers: LoraLayers = Field(
        LoraLayers.ATTENTION,
        description="Attention: the U-Net's attention projections. All: its convolutions and feed-forward layers "
        "too, which learns more from few photos and makes a larger file.",
    )
    train_text_encoders: bool = Field(
        False,
        description="Adapt both text encoders as well. Ties the subject closer to its word, and takes more memory.",
    )
    learning_rate: float = Field(
        1e-4,
        ge=1e-8,
        le=1.0,
        description="AdamW's learning rate, at its highest. Lower it when the loss diverges or pictures look overdone.",
    )
    learning_rate_schedule: LearningRateSchedule = Field(
        LearningRateSchedule.CONSTANT,
        description="How the learning rate runs over the steps: it stays (constant), or falls to zero by the last "
        "one, along a cosine or a line (linear).",
    )
    warmup_steps: int = Field(
        0, ge=0, le=10000, description="Optimizer steps over which the learning rate rises from zero, at the beginning."
    )
    batch_size: int = Field(
        1,
        ge=1,
        le=64,
        description="Photos in one forward pass, and with prior preservation as many class pictures. Memory grows "
        "with it.",
    )
    gradient_accumulation_steps: int = Field(
        1,
        ge=1,
        le=64,
        description="Forward passes in one optimizer step: the effect of a larger batch without its memory. maxSteps "
        "counts optimizer steps.",
    )
    max_grad_norm: float = Field(
        1.0, ge=0.0, le=1000.0, description="Gradients are clipped to this norm. 0: not clipped."
    )
    resolution: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        description="Side in pixels to which photos are scaled and cropped. The base model's own size when unset "
        "(1024 for SDXL). Lower takes less memory and time.",
    )
    random_flip: bool = Field(
        False,
        description="Mirror half of the photos left to right. Not for faces, letters, or anything with a left and a "
        "right side.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=MAX_SEED,
        description="Seed of every random choice of the run. The same job with the same seed learns the same, to the "
        "bit on a CPU.",
    )
    min_snr_gamma: float | None = Field(
        None,
        ge=0.1,
        le=100.0,
        description="Weigh timesteps by min-SNR (arXiv 2303.09556) with this gamma; 5 is usual. All weigh the same "
        "when unset.",
    )
    prior_preservation: PriorPreservation | None = Field(
        None,
        description="Keep what the base model knows of the subject's class, so that not every dog becomes this one. "
        "Off when unset; a step takes about twice as long with it.",
    )
    checkpoint_steps: int = Field(
        100,
        ge=0,
        le=100_000,
        description="The training's state is saved to object storage after every so many steps, and a later run of "
        "the job goes on from there. 0: only when the run is told to stop.",
    )
    validation_prompt: str | None = Field(
        None,
        pattern=NOT_BLANK,
        max_length=1000,
        description="Draw this with the finished LoRA, as an artifact to look at. No picture when unset.",
    )


class TrainJobSpec(JobSpec):
    """What to learn, and from what. After creation only limits, deadlines, priority and suspend may be changed."""

    model_id: str = Field(
        pattern=MODEL_ID_PATTERN,
        max_length=63,
        description="Name under which the trained LoRA is kept and found again, in this namespace. Letters, digits, "
        "dot, underscore and hyphen. A later training under the same name takes its place once it has "
        "succeeded.",
    )
    prompt: str = Field(
        pattern=NOT_BLANK,
        max_length=1000,
        description="The instance prompt: what the photos show, with a rare word for the subject: a photo of sks "
        "dog. The same words call for the subject later.",
    )
    dataset: Dataset = Field(description="Where the photos lie.")
    max_steps: int = Field(
        500,
        ge=1,
        le=20000,
        description="Optimizer steps. More learn the subject better until they learn the photos by heart; some "
        "hundreds suit a handful of photos.",
    )
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=MAX_BASE_MODEL_LENGTH,
        description="SDXL model to start from: a hub repository (owner/name) or a folder of the model root, and "
        "@revision (a branch, a tag, or a commit, which never changes). The cluster's default when unset.",
    )
    training: Training = Field(
        default_factory=Training, description="How the LoRA is trained. The defaults suit SDXL at its own size."
    )


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

    count: int = Field(
        1,
        ge=1,
        le=8,
        description="How many pictures. Each has a seed of its own: seed, seed + 1, ... They are drawn one after "
        "another, so memory does not grow with it.",
    )
    width: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        description="Width in pixels. The base model's own when unset (1024 for SDXL).",
    )
    height: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        description="Height in pixels. The base model's own when unset (1024 for SDXL).",
    )
    steps: int = Field(
        30,
        ge=1,
        le=200,
        description="Denoising steps of each picture. More take longer and bring finer detail, up to a point.",
    )
    guidance_scale: float = Field(
        5.0,
        ge=0.0,
        le=30.0,
        description="Classifier-free guidance scale: how closely the picture keeps to the prompt. At 1 and below "
        "guidance is off, which takes about half the time and ignores negativePrompt.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=MAX_SEED - 8,
        description="Seed of the first picture. The same job with the same seed draws the same picture.",
    )
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
        description="Disabled: none. Quality, Balanced, Fast: the whole U-Net runs at every 2nd, 3rd, 5th step. The "
        "less it runs, the sooner the picture is there and the more it may differ.",
    )
    interval: int | None = Field(
        None, ge=1, le=50, description="Every how many steps the whole U-Net runs, in place of the profile's; 1: off."
    )
    branch: int = Field(
        0,
        ge=0,
        le=8,
        description="The skip branch that is computed anew at every step; 0 is fastest. Higher computes more and "
        "differs less. SDXL has 0 to 8, smaller models fewer.",
    )

    @property
    def effective_interval(self) -> int:
        return self.profile.interval if self.interval is None else self.interval


class VideoFit(StrEnum):
    """What happens to a picture whose proportions are not exactly the clip's."""

    CROP = "Crop"
    PAD = "Pad"


class Video(Schema):
    """How the clip is made, when `allowMotion` is set."""

    frames: int | None = Field(
        None,
        ge=2,
        le=50,
        description="Number of frames. The base model's own when unset (25 for SVD-XT). Memory and time grow with it.",
    )
    fps: int = Field(7, ge=1, le=60, description="Frames a second, of the file and of the model's conditioning.")
    steps: int = Field(
        25,
        ge=1,
        le=200,
        description="Denoising steps of the clip. More take longer and bring cleaner frames, up to a point.",
    )
    motion_bucket_id: int = Field(
        127, ge=0, le=1023, description="How much moves: higher is more. 127 is what SVD is usually given."
    )
    noise_aug_strength: float = Field(
        0.02, ge=0.0, le=1.0, description="Noise on the first picture: higher is more motion, less likeness."
    )
    fit: VideoFit = Field(
        VideoFit.CROP,
        description="How a picture is fitted to the clip, whose sides go in steps of 64 pixels (SVD): Crop cuts some "
        "rows or columns off its edges, Pad keeps all of it between two black bars. It is never stretched.",
    )
    decode_chunk_size: int | None = Field(
        None,
        ge=1,
        le=50,
        description="Frames decoded at once: fewer take less memory and a little more time. All when unset.",
    )
    min_guidance_scale: float = Field(
        1.0, ge=0.0, le=30.0, description="Guidance scale of the first frame. It changes evenly to that of the last."
    )
    max_guidance_scale: float = Field(
        3.0,
        ge=0.0,
        le=30.0,
        description="Guidance scale of the last frame. At 1 and below the clip is made without guidance, in about "
        "half the time; minGuidanceScale must then be 1 or below as well.",
    )
    seed: int = Field(
        0, ge=0, le=MAX_SEED, description="Seed of the clip. Another seed moves the same picture in another way."
    )
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=MAX_BASE_MODEL_LENGTH,
        description="SVD model: a hub repository (owner/name) or a folder of the model root, and @revision if it "
        "matters. The cluster's default when unset.",
    )

    @property
    def has_contradictory_guidance(self) -> bool:
        """Whether the last frame's scale turns guidance off, for all frames, while the first frame asks for it.

        A scale that falls, such as from 5 to 3, is fine: diffusers' SVD pipeline interpolates between the two.
        """
        return self.min_guidance_scale > 1 >= self.max_guidance_scale


class GenerateJobSpec(JobSpec):
    """What to draw, and how. After creation only limits, deadlines, priority and suspend may be changed."""

    prompt: str = Field(
        pattern=NOT_BLANK,
        max_length=1000,
        description="What the pictures show. For a LoRA's subject, use the words of its training.",
    )
    negative_prompt: str = Field(
        "", max_length=1000, description="What they should not show. Does nothing where guidance is off."
    )
    model_id: str | None = Field(
        None,
        pattern=MODEL_ID_PATTERN,
        max_length=63,
        description="Use the LoRA that a TrainJob made under this name, in this namespace. Without: the base model "
        "as it is.",
    )
    lora_scale: float = Field(
        1.0,
        ge=0.0,
        le=2.0,
        description="Strength of the LoRA, when modelId is set. 0: as if it were not there; above 1: more than it "
        "was trained for.",
    )
    allow_motion: bool = Field(False, description="Also make a short video (SVD) from the first picture.")
    images: Images = Field(default_factory=Images, description="How the pictures are made.")
    cache: Cache = Field(
        default_factory=Cache,
        description="DeepCache, for pictures and video: reuses the U-Net's deep features between denoising steps "
        "(arXiv 2312.00858).",
    )
    video: Video = Field(
        default_factory=Video, description="How the video is made, when allowMotion is set. Does nothing otherwise."
    )
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=MAX_BASE_MODEL_LENGTH,
        description="SDXL model: a hub repository (owner/name) or a folder of the model root, and @revision if it "
        "matters. The cluster's default when unset. For a LoRA, the one that it was trained on.",
    )

    @property
    def contradiction(self) -> str | None:
        """Two settings that no run can follow together, and what to do, in whole sentences. None where there are none.

        The CRD refuses the same at creation (crd.py); jobs from before that, or under older CRDs, come here.
        """
        if not (self.allow_motion and self.video.has_contradictory_guidance):
            return None
        return (
            f"video.minGuidanceScale is {self.video.min_guidance_scale:g} while video.maxGuidanceScale, "
            f"{self.video.max_guidance_scale:g}, turns guidance off. Raise the latter above 1 or lower the former."
        )

    @property
    def is_guided(self) -> bool:
        """Whether classifier-free guidance is on; without it nothing reads the negative prompt."""
        return self.images.guidance_scale > 1
