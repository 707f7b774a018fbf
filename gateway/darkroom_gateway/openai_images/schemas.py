"""Response schemas of `/v1/images`, which OpenAI's clients read as `ImagesResponse`. Extra fields are kept by them."""

from typing import Literal

from pydantic import BaseModel, Field

Quality = Literal["auto", "low", "medium", "high", "xhigh", "max"]


class OpenAIImage(BaseModel):
    """A picture."""

    b64_json: str | None = Field(None, description="The file in base64, unless a link was asked for.")
    url: str | None = Field(
        None, description="A link that downloads the file without credentials, if one was asked for."
    )
    seed: int | None = Field(None, description="Its seed: with the same parameters it gives the same picture.")


class OpenAIImages(BaseModel):
    """The pictures of a job that has succeeded."""

    created: int = Field(description="When the job succeeded, in seconds of Unix time.")
    job_id: str = Field(description="The job that made them, for GET /v1/jobs/{id}.")
    background: Literal["opaque"] = "opaque"
    output_format: Literal["png", "jpeg", "webp"]
    quality: Quality = Field(description="The quality that was asked for.")
    size: str | None = Field(None, description="The size that was asked for; absent when it was auto.")
    data: list[OpenAIImage]


class TokenCounts(BaseModel):
    """Nothing is counted in tokens here: all are 0."""

    image_tokens: int = 0
    text_tokens: int = 0


class Usage(BaseModel):
    """OpenAI's clients need it. Nothing is counted in tokens here: all are 0."""

    input_tokens: int = 0
    input_tokens_details: TokenCounts = TokenCounts()
    output_tokens: int = 0
    total_tokens: int = 0


class ImageEvent(BaseModel):
    """What all events of a stream have."""

    type: str
    b64_json: str
    background: Literal["opaque"] = "opaque"
    created_at: int
    output_format: Literal["png", "jpeg", "webp"]
    quality: Quality
    size: str
    job_id: str
    seed: int | None


class PartialImageEvent(ImageEvent):
    """A preview: a small JPEG."""

    partial_image_index: int


class CompletedEvent(ImageEvent):
    """A finished picture."""

    usage: Usage = Usage()
