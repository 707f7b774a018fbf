"""Remarks: what a run cut, left out, converted or replaced, although it succeeded.

The runner writes them into its log and its outcome, the operator copies them into `status.remarks` and posts an Event
for each, and the gateway returns them with the job. The reasons are part of the API: they are never renamed.
"""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.schema import PrintableText, Schema

MAX_REMARKS = 16
MAX_REMARK_CHARACTERS = 400


class RemarkReason(StrEnum):
    """Kind of change."""

    PROMPT_TRUNCATED = "PromptTruncated"
    PHOTOS_LEFT_OUT = "PhotosLeftOut"
    PHOTOS_CONVERTED = "PhotosConverted"
    PHOTOS_UPSCALED = "PhotosUpscaled"
    SAMPLER_SETTING_DROPPED = "SamplerSettingDropped"
    TIMESTEPS_REPLACED = "TimestepsReplaced"
    CACHE_INEFFECTIVE = "CacheIneffective"
    BASE_MODEL_DIFFERS = "BaseModelDiffers"
    DRAWN_AGAIN = "DrawnAgain"
    PICTURE_LEFT_OUT = "PictureLeftOut"
    CLIP_LEFT_OUT = "ClipLeftOut"
    VALIDATION_FAILED = "ValidationFailed"
    FILE_LEFT_OUT = "FileLeftOut"
    PICTURE_CROPPED = "PictureCropped"
    PICTURE_PADDED = "PicturePadded"
    SETTING_IGNORED = "SettingIgnored"
    SETTING_UNSUITABLE = "SettingUnsuitable"
    CAPTIONS_LEFT_OUT = "CaptionsLeftOut"
    MASKS_LEFT_OUT = "MasksLeftOut"
    MEMORY_SAVED = "MemorySaved"
    LORA_CONVERTED = "LoraConverted"
    SAMPLES_LEFT_OUT = "SamplesLeftOut"
    REMARKS_LEFT_OUT = "RemarksLeftOut"


class Remark(Schema):
    """One change to the input or output of a run."""

    reason: str = Field(
        max_length=64,
        pattern="^[A-Z][A-Za-z0-9]*$",
        description="Kind of change in one CamelCase word, for programs, such as PromptTruncated.",
    )
    message: PrintableText = Field(
        max_length=MAX_REMARK_CHARACTERS,
        description="What was cut, left out, converted or replaced, and what to do about it.",
    )
