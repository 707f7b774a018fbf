"""The training settings of a `TrainJob`: adapters, optimizer, regularization, memory, and what is kept on the way."""

from typing import Annotated

from pydantic import Field

from darkroom_contract.schema import Schema
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.specs.job import MAX_SEED, NOT_BLANK
from darkroom_contract.specs.lora import LoraSource
from darkroom_contract.specs.training_choices import (
    Cropping,
    FilePrecision,
    LearningRateSchedule,
    LoraLayers,
    Memory,
    Optimizer,
    Quantization,
)


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
        description="Class images that the base model generates before training, with the U-Net cache; never more than "
        "the steps can use. Each takes about as long as one generated image. A resumed run generates "
        "them again.",
    )
    dataset: Dataset | None = Field(
        None,
        description="Your own pictures of the class, instead of generated ones; classImages is then not used.",
    )
    weight: float = Field(
        1.0,
        ge=0.0,
        le=10.0,
        description="Weight of the class images in the loss; the subject's photos have 1. A higher weight "
        "preserves the class better and learns the subject more slowly.",
    )


class MaskedLoss(Schema):
    """Weigh the loss by masks: photo.mask.png beside photo.jpg, or the photo's own transparency."""

    unmasked_weight: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="Weight of the loss outside of the mask, where the mask is black or the photo transparent; "
        "inside it is 1. At 0 the background is not learned at all. Photos without a mask count as a whole.",
    )


ValidationPrompt = Annotated[str, Field(pattern=NOT_BLANK, max_length=1000, description="What one image shows.")]


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
    dora: bool = Field(
        False,
        description="Weight-decomposed adapters (DoRA, arXiv 2402.09353): learn more at small ranks, and take longer "
        "to train and to apply. Of other tools ComfyUI, Forge, LyCORIS and diffusers apply them; A1111, InvokeAI and "
        "kohya's scripts do not.",
    )
    lora_dropout: float = Field(
        0.0,
        ge=0.0,
        le=0.9,
        description="Probability with which the adapters' inputs are dropped in training: against overfitting.",
    )
    initial_lora: LoraSource | None = Field(
        None,
        description="Continue from an existing LoRA: rank, layers and dora must be those of that LoRA. Random "
        "adapters without effect when unset.",
    )
    train_text_encoders: bool = Field(
        False,
        description="Train adapters of both text encoders as well. Binds the subject closer to its word, and "
        "needs more memory.",
    )
    text_encoder_learning_rate: float | None = Field(
        None,
        ge=0.0,
        le=10.0,
        description="Peak learning rate of the text encoders' adapters; often a half to a tenth of the U-Net's. The "
        "same as learningRate when unset.",
    )
    optimizer: Optimizer = Field(
        Optimizer.ADAMW,
        description="AdamW; AdamW8bit: the same with a quarter of the optimizer's memory; Adafactor: nearly none of "
        "it; Prodigy: finds the learning rate by itself.",
    )
    learning_rate: float | None = Field(
        None,
        ge=1e-8,
        le=10.0,
        description="Peak learning rate. 0.0001 when unset; with Prodigy 1, since it multiplies its own estimate. "
        "Lower it when the loss diverges or images look overfitted.",
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
    cropping: Cropping = Field(
        Cropping.BUCKETS,
        description="Buckets: photos keep their shape, in buckets of nearly equal area, and a batch has photos of one "
        "shape. Square: square crops of the centre and both ends of elongated photos.",
    )
    masked_loss: MaskedLoss | None = Field(
        None,
        description="Learn mainly what masks show: photo.mask.png beside photo.jpg (white is learned), or the "
        "photo's transparency. Off when unset.",
    )
    resolution: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=8,
        description="Side in pixels to which photos are scaled and cropped. The base model's native size when "
        "unset (1024 for SDXL). A lower resolution needs less memory and time.",
    )
    noise_offset: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Noise per channel that is added to the noise of a step: lets the LoRA learn very dark and very "
        "bright pictures. 0.03 to 0.1 is usual; 0 for models with v-prediction.",
    )
    caption_dropout: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Probability that a photo is shown with an empty prompt: strengthens classifier-free guidance "
        "and styles. 0.05 to 0.1 is usual.",
    )
    shuffle_tags: bool = Field(
        False,
        description="Shuffle the comma-separated tags of a caption in each step, so that their order is not learned.",
    )
    keep_tags: int = Field(
        1, ge=0, le=50, description="Number of tags at a caption's start that stay in place when tags are shuffled."
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
    ema_decay: float | None = Field(
        None,
        ge=0.0,
        le=0.9999,
        description="Publish an exponential moving average of the adapters with this decay instead of their last "
        "state: smoother results of noisy trainings. 0.99 to 0.999 is usual. Off when unset.",
    )
    memory: Memory = Field(
        Memory.AUTO,
        description="Auto: gradient checkpointing when the device needs it. Low: everything that saves memory, "
        "quantization of the base model on CUDA included. The run says in a remark what it picked.",
    )
    quantization: Quantization = Field(
        Quantization.AUTO,
        description="Precision of the frozen base model on CUDA: NF4 (4 bits, bitsandbytes), FP8 (8 bits, torchao, on "
        "cards of compute capability 8.9 and above), Disabled. Auto: Disabled, and NF4 when memory is Low.",
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
    validation_prompts: tuple[ValidationPrompt, ...] = Field(
        (),
        max_length=8,
        description="More prompts like validationPrompt: one image of each.",
    )
    validation_steps: int = Field(
        0,
        ge=0,
        le=20000,
        description="Interval in steps at which an image of each validation prompt is generated during the training, "
        "for the live view and as files; at most 100 times. The training is the same with and without them. 0: only "
        "at its end.",
    )
    save_steps: int = Field(
        0,
        ge=0,
        le=20000,
        description="Interval in steps at which the LoRA is saved and can be used at once, as modelId@step. At most "
        "100 of them in a training. 0: only at its end.",
    )
    held_out_photos: int = Field(
        0,
        ge=0,
        le=50,
        description="Photos that are not trained on, spread over all concepts; the loss on them shows overfitting. "
        "The LoRA with the lowest one is kept beside the last, as modelId@best.",
    )
    evaluation_steps: int = Field(
        50, ge=1, le=20000, description="Interval in steps at which the held-out loss is measured."
    )
    file_precision: FilePrecision = Field(
        FilePrecision.FLOAT16, description="Precision of the LoRA file for other tools, modelId.safetensors."
    )

    @property
    def peak_learning_rate(self) -> float:
        """The U-Net's: the job's, or the optimizer's usual one."""
        return self.optimizer.learning_rate if self.learning_rate is None else self.learning_rate

    @property
    def prompts_to_validate(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*filter(None, [self.validation_prompt]), *self.validation_prompts)))
