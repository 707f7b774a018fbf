"""The photos of a training, and their captions."""

from typing import Annotated

from pydantic import Field

from darkroom_contract.names import DATASET_URI_PATTERN
from darkroom_contract.schema import Schema

MAX_CAPTION_CHARACTERS = 1000
MAX_CAPTIONS_BYTES = 48 * 1024
"""All captions of a spec together. The spec becomes one environment variable, which Linux limits to 128 KiB."""

Caption = Annotated[
    str, Field(max_length=MAX_CAPTION_CHARACTERS, description="What one photo shows, in place of the prompt.")
]


class Dataset(Schema):
    """Location of the photos."""

    uri: str = Field(
        pattern=DATASET_URI_PATTERN,
        max_length=512,
        description="A folder of photos in object storage: s3://bucket/datasets/<namespace>/folder/ in Darkroom's"
        " own bucket, or a folder that the deployment allows. The JPEG, PNG, WebP, AVIF and HEIC "
        "files directly in it are used: 1 to 100 files, each at most 25 MiB (500 MiB in all) and at "
        "least 64 pixels a side. photo.txt beside photo.jpg is its caption, photo.mask.png its mask. Other files "
        "are skipped, with a remark in the status.",
    )
    captions: dict[str, Caption] | None = Field(
        None,
        max_length=100,
        description="Captions by file name, such as photo.jpg; in place of photo.txt. A photo without a caption has "
        "the prompt. At most 48 KiB in all: longer ones go into files.",
    )

    @property
    def captions_bytes(self) -> int:
        return sum(len(name.encode()) + len(text.encode()) for name, text in (self.captions or {}).items())
