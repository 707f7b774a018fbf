"""Request and response schemas of `POST /v1/uploads`."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from darkroom_contract.photos import limits as bounds
from darkroom_contract.schema import Schema

MAX_FILES = 3 * bounds.MAX_PHOTOS
"""Photos, each with a caption and a mask."""


class AnnouncedFile(BaseModel):
    """A file that the client will upload."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1,
        max_length=200,
        description="Its file name, such as 1.jpg. photo.txt is the caption of photo.jpg, photo.mask.png its mask.",
        examples=["1.jpg"],
    )
    bytes: int = Field(ge=1, le=bounds.MAX_PHOTO_BYTES, description="Its exact size.", examples=[245_760])
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of its content, in hexadecimal. The submission compares it with what was uploaded.",
    )


class NewUpload(BaseModel):
    """The photos of a training, with captions and masks."""

    model_config = ConfigDict(extra="forbid")

    files: list[AnnouncedFile] = Field(min_length=1, max_length=MAX_FILES)


class UploadedDataset(BaseModel):
    """`dataset` of the spec of a training."""

    uri: str = Field(examples=["s3://darkroom/datasets/default/upload-k3x9q2m7abcdefgh/"])


class UploadLink(BaseModel):
    """How to upload one file."""

    name: str
    method: Literal["PUT"]
    url: str = Field(description="Stores the body of the request, without credentials, until `expires`.")
    headers: dict[str, str] = Field(description="Header fields that the request must have.")


class UploadAnswer(BaseModel):
    """Links for all files, in the order of the request."""

    dataset: UploadedDataset = Field(description="`dataset` of the spec, once all files are uploaded.")
    files: list[UploadLink]
    expires: datetime = Field(description="When the links expire. The upload is kept for a day after its last file.")


class StoredUploadFile(Schema):
    """A file of an upload, in its record."""

    key: str
    name: str
    bytes: int = Field(ge=1, le=bounds.MAX_PHOTO_BYTES)
    sha256: str | None = None


class UploadRecord(Schema):
    """`.upload.json`: what the client has announced. Written before the links are given out."""

    files: tuple[StoredUploadFile, ...] = Field(max_length=MAX_FILES)
