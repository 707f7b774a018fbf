"""The spec of `GenerateJob`: prompt, images, cache and video.

The only source of the CRD's schema, of the gateway's bounds and of the run document.
"""

from pydantic import Field

from darkroom_contract.names import (
    BASE_MODEL_PATTERN,
    MAX_BASE_MODEL_LENGTH,
    MAX_MODEL_REFERENCE_LENGTH,
    MODEL_REFERENCE_PATTERN,
)
from darkroom_contract.schema import Schema
from darkroom_contract.specs.cache import Cache
from darkroom_contract.specs.images import MAX_IMAGES, Images
from darkroom_contract.specs.job import NOT_BLANK, JobSpec
from darkroom_contract.specs.lora import MAX_LORAS, LoraUse
from darkroom_contract.specs.start_image import ImageSource, Mask, StartImage
from darkroom_contract.specs.video import Video

MAX_PROMPT_CHARACTERS = 1800


class Upscale(Schema):
    """A second pass that enlarges each image and adds detail."""

    factor: float = Field(
        1.5, ge=1.1, le=2.0, description="Size of the result, as a multiple of images.width and height."
    )
    strength: float = Field(
        0.35,
        ge=0.05,
        le=0.9,
        description="How much the second pass may change: low keeps the image, high invents detail.",
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=200,
        description="Denoising steps, of which the part given by strength is run. As images.steps when unset.",
    )


class GenerateJobSpec(JobSpec):
    """What to generate. After creation only limits, deadlines, priority and suspend may be changed."""

    prompt: str = Field(
        pattern=NOT_BLANK,
        max_length=MAX_PROMPT_CHARACTERS,
        description="What the images show. For a LoRA's subject, use the words of its training. (words:1.3) gives "
        "words more weight, (words:0.7) less. Prompts of more than 75 tokens are encoded in parts.",
    )
    negative_prompt: str = Field(
        "",
        max_length=MAX_PROMPT_CHARACTERS,
        description="What the images should not show. Ignored when guidance is off. Weights as in prompt.",
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
    start_image: StartImage | None = Field(
        None, description="Image to image: the picture that the prompt changes, and how much."
    )
    mask: Mask | None = Field(
        None,
        description="Inpainting: a picture of the size of startImage that is white where the prompt paints and black "
        "where the picture stays. Needs startImage.",
    )
    upscale: Upscale | None = Field(
        None, description="A second pass at 1.1 to 2 times the size, which adds detail. None when unset."
    )
    images: Images = Field(default_factory=Images, description="Number, size, steps, guidance and seed of the images.")
    cache: Cache = Field(
        default_factory=Cache,
        description="For images and video: reuses the U-Net's features between denoising steps. With 25 steps that "
        "saves most of the U-Net's work, with fewer than ten little.",
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
        if self.images.count == 0 and not (self.allow_motion and self.video.start_image is not None):
            return f"images.count is 0: use 1 to {MAX_IMAGES}, or set allowMotion and video.startImage to make a clip."
        if self.mask is not None and self.start_image is None:
            return "mask needs startImage, the picture that is painted on."
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
    def image_sources(self) -> dict[str, ImageSource]:
        """The pictures that the job reads, by the path of their field."""
        sources: dict[str, ImageSource | None] = {"startImage": self.start_image, "mask": self.mask}
        if self.allow_motion:
            sources["video.startImage"] = self.video.start_image
        return {field: source for field, source in sources.items() if source is not None}

    @property
    def is_guided(self) -> bool:
        """Whether classifier-free guidance is on; without it the negative prompt is ignored."""
        return self.images.guidance_scale > 1
