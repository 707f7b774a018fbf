"""Pictures that a generation starts from: image to image, inpainting, and a clip of the user's own picture."""

from enum import StrEnum

from pydantic import Field

from darkroom_contract.names import IMAGE_URI_PATTERN, MAX_IMAGE_URI_LENGTH
from darkroom_contract.schema import Schema


class ImageFit(StrEnum):
    """What happens to a picture whose aspect ratio is not that of the result."""

    CROP = "Crop"
    PAD = "Pad"


class MaskChannel(StrEnum):
    """What in the picture of a mask marks the part to paint."""

    BRIGHTNESS = "Brightness"
    TRANSPARENCY = "Transparency"


class ImageSource(Schema):
    """A picture in object storage."""

    uri: str = Field(
        pattern=IMAGE_URI_PATTERN,
        max_length=MAX_IMAGE_URI_LENGTH,
        description="A picture in object storage: s3://bucket/images/<namespace>/name.jpg in Darkroom's own bucket, a "
        "picture of an earlier job of this namespace (s3://bucket/runs/<job uid>/name.png), or a file in a folder that "
        "the deployment allows. JPEG, PNG, WebP, AVIF or HEIC, at most 25 MiB.",
    )


class StartImage(ImageSource):
    """The picture that is changed by the prompt."""

    strength: float = Field(
        0.6,
        ge=0.05,
        le=1.0,
        description="How much of the start picture is replaced: near 0 it stays as it is, at 1 nothing of it is left. "
        "That part of images.steps is run, at least one step.",
    )
    fit: ImageFit = Field(
        ImageFit.CROP,
        description="How the start picture is fitted to images.width and images.height: Crop cuts its edges, Pad keeps "
        "all of it and repeats its edges. Without width and height the result has the aspect ratio of the picture.",
    )


class Mask(ImageSource):
    """The part of the start picture that the prompt paints."""

    blur: int = Field(
        4,
        ge=0,
        le=64,
        description="Width of the soft edge between old and new, in pixels of the result.",
    )
    channel: MaskChannel = Field(
        MaskChannel.BRIGHTNESS,
        description="What marks the part to paint. Brightness: white. Transparency: transparent pixels, whatever their "
        "colour, as in OpenAI's image edits.",
    )
    invert: bool = Field(
        False, description="The other part is painted: black instead of white, or opaque pixels instead of transparent."
    )
