"""The spec of `TrainJob`: photos, base model and training settings.

The only source of the CRD's schema, of the gateway's bounds and of the run document.
"""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.names import BASE_MODEL_PATTERN, DATASET_URI_PATTERN, MAX_BASE_MODEL_LENGTH, MODEL_ID_PATTERN
from darkroom_contract.schema import Schema
from darkroom_contract.specs.job import MAX_SEED, NOT_BLANK, JobSpec


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
