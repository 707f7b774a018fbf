"""Live progress events of a run.

The runner appends them to a capped Redis stream, the gateway streams them to clients, the operator copies the newest
into the job's status. Redis may fail at any time: nothing may depend on the arrival of an event.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from darkroom_contract.names import Kind
from darkroom_contract.schema import Metrics, Schema
from darkroom_contract.specs.images import MAX_IMAGES
from darkroom_contract.specs.job import MAX_SEED

STREAM_MAX_LENGTH = 1000
STREAM_TTL_SECONDS = 24 * 3600
STREAM_FIELD = "event"
MAX_PREVIEW_CHARACTERS = 32 * 1024
MAX_FILES = 16
"""Files in one event."""
MAX_IMAGE_BYTES = 10**9
"""No image comes near it."""


class Stage(StrEnum):
    """Stages of a run, in order."""

    DOWNLOADING = "Downloading"
    LOADING_MODEL = "LoadingModel"
    DRAWING_CLASS_IMAGES = "DrawingClassImages"
    ENCODING = "Encoding"
    TRAINING = "Training"
    DENOISING = "Denoising"
    ANIMATING = "Animating"
    UPLOADING = "Uploading"
    DONE = "Done"

    def in_words(self, kind: str) -> str:
        """For people: on the page and on the command line. `kind` is that of the job: a training draws samples only."""
        if self is Stage.DENOISING and kind == Kind.TRAIN:
            return DRAWING_SAMPLES
        return _STAGES_IN_WORDS[self]

    @property
    def unit(self) -> str:
        """What its steps are."""
        return _UNITS.get(self, "step")


_STAGES_IN_WORDS = {
    Stage.DOWNLOADING: "Fetching the input files",
    Stage.LOADING_MODEL: "Loading the model",
    Stage.DRAWING_CLASS_IMAGES: "Drawing class images to keep what the model knows",
    Stage.ENCODING: "Preparing the photos",
    Stage.TRAINING: "Learning",
    Stage.DENOISING: "Drawing",
    Stage.ANIMATING: "Animating",
    Stage.UPLOADING: "Storing the files",
    Stage.DONE: "Done",
}

DRAWING_SAMPLES = "Drawing samples"

_UNITS = {Stage.ENCODING: "photo", Stage.UPLOADING: "file"}


class Preview(Schema):
    """A small picture of an image that is being generated."""

    seed: int = Field(ge=0, description="Seed of the image.")
    step: int = Field(ge=1, description="Its denoising steps so far.")
    jpeg: str = Field(
        max_length=MAX_PREVIEW_CHARACTERS,
        pattern="^[A-Za-z0-9+/]+=*$",
        description="A JPEG of at most 256 pixels a side, in base64.",
    )


class FinishedImage(Schema):
    """An image of a generation that is in object storage before its job has ended."""

    # It has no name: readers derive the name from the job and the seed (`storage.keys.image_file`), so that no report
    # can refer to another object.
    seed: int = Field(ge=0, le=MAX_SEED, description="The seed that the image was generated with.")
    bytes: int = Field(ge=0, le=MAX_IMAGE_BYTES, description="Size of the image file in bytes.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 digest of the image file, in hexadecimal.")


class ProgressEvent(Schema):
    """One progress report of a run."""

    attempt: int = Field(ge=1, description="Number of the run, from 1.")
    stage: Stage = Field(description="What the run is doing.")
    step: int = Field(0, ge=0, description="Completed steps of this stage.")
    total: int = Field(0, ge=0, description="Steps of this stage; 0 when it is not counted in steps.")
    progress_percentage: float = Field(0.0, ge=0.0, le=100.0, description="Progress of the whole run, in percent.")
    estimated_remaining_seconds: float | None = Field(None, ge=0.0, description="Seconds until the end of the run.")
    metrics: Metrics = Field(default_factory=dict, description="Such as loss and learningRate.")
    files: tuple[str, ...] = Field(
        (),
        max_length=MAX_FILES,
        description="Files of the run that can be read from now on, by their path below its prefix, such as "
        "samples/<file> for a sample image of a training, and steps/<step>/<file> for a saved step.",
    )
    finished_images: tuple[FinishedImage, ...] = Field(
        (), max_length=MAX_IMAGES, description="All images of a generation that the run has stored so far."
    )
    preview: Preview | None = Field(
        None, description="What an image looks like so far. Only on the event stream, never in a status."
    )
    time: datetime = Field(description="Time of the report, UTC.")


def stream_name(job_uid: str) -> str:
    """The Redis stream of a job; each entry has one field, `event`, a `ProgressEvent` as JSON."""
    return f"darkroom:progress:{job_uid}"


def read_stream_entries(answer: object) -> list[tuple[str, dict[str, str]]]:
    """The entries of one stream, as (id, fields), from any form in which redis-py 8 returns XREAD and XRANGE.

    redis-py shapes XREAD's answer by `protocol` and `legacy_responses`, both of which `DARKROOM_REDIS_URL` may set:

        protocol 2                          [[name, [(id, fields), ...]]]
        protocol 3                          {name: [[(id, fields), ...]]}
        legacy_responses=false, either      {name: [(id, fields), ...]}
        XRANGE and XREVRANGE, always        [(id, fields), ...]

    None and empty answers have no entries; a deleted entry has no fields. Bytes are read as UTF-8. Raises `ValueError`
    for any other shape.
    """
    if isinstance(answer, dict):
        return [entry for entries in answer.values() for entry in _entries(entries)]
    return _entries(answer)


def read_streams(answer: object) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """The entries by stream name, from any answer that redis-py 8 gives to an XREAD of several streams.

    Streams without entries are left out. The shapes are those of `read_stream_entries`; raises `ValueError` for others.
    """
    if answer is None:
        return {}
    pairs = answer.items() if isinstance(answer, dict) else answer
    if not isinstance(pairs, Iterable):
        raise ValueError(f"streams came as {type(answer).__name__}")
    streams = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str | bytes):
            raise ValueError("a stream came without its name")
        streams[_text(pair[0])] = _entries(pair[1])
    return streams


def _entries(answer: object) -> list[tuple[str, dict[str, str]]]:
    """Entries in lists of lists of any depth; a stream's name before its entries is passed over."""
    if answer is None:
        return []
    if not isinstance(answer, list | tuple):
        raise ValueError(f"a stream's entries came as {type(answer).__name__}")
    if _is_entry(answer):
        return [(_text(answer[0]), {_text(name): _text(value) for name, value in (answer[1] or {}).items()})]
    parts = answer[1:] if len(answer) == 2 and isinstance(answer[0], str | bytes) else answer
    return [entry for part in parts for entry in _entries(part)]


def _is_entry(answer: list[Any] | tuple[Any, ...]) -> bool:
    return len(answer) == 2 and isinstance(answer[0], str | bytes) and isinstance(answer[1], dict | None)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
