"""Start pictures and masks of generations: download and safe decoding. Called by the generate task and the clip.

A job from YAML does not pass the gateway, so permission, size and content are checked here again, with the gateway's
code. A picture is decoded in a child process with limits first: a damaged or hostile file fails the run with the name
of its field, not with an exhausted memory. torch is not imported here.
"""

import hashlib
import logging
from pathlib import Path

from PIL import Image, ImageOps
from pydantic import ValidationError

from darkroom_contract.photos import limits as bounds
from darkroom_contract.photos import reading as photo_reading
from darkroom_contract.photos.decoder import DecodingLimits, PhotoDecoder
from darkroom_contract.photos.errors import PhotoError
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.start_image import ImageSource, Mask, MaskChannel
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import Manifest, manifest_key, parse_uri
from darkroom_runner.errors import ImageInvalidError, ImageNotAllowedError, ImageNotFoundError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.storage import NoSuchBucketError, NoSuchObjectError, ObjectTooLargeError, Storage

log = logging.getLogger(__name__)

CHECK_LIMITS = DecodingLimits(memory_bytes=3 * 1024**3, seconds=120)
"""Above the gateway's defaults (1 GiB, 20 s), so that every accepted picture fits."""


def fetch_image(
    storage: Storage,
    namespace: str,
    source: ImageSource,
    policy: DatasetPolicy,
    folder: Path,
    field: str = "startImage",
) -> Path:
    """Download a picture into `folder`, under a file name of its own, and check it. `field` is used in messages.

    Raises `ImageNotAllowedError` before the first request for a picture that the namespace may not read, or after
    reading the manifest of the job that made it; `ImageNotFoundError`, and `ImageInvalidError` for a file that is too
    large or no picture.
    """
    name = f"{field}.uri"
    if (fault := policy.image_fault(source.uri, namespace, name)) is not None:
        raise ImageNotAllowedError(fault)
    if (uid := policy.job_of_image(source.uri, namespace)) is not None:
        _require_own_job(storage, uid, namespace, f"{name} {source.uri}")
    path = folder / f"image-{hashlib.sha256(source.uri.encode()).hexdigest()[:16]}"
    _download(storage, source.uri, path, name)
    _check(path, source.uri, name)
    log.info("fetched %s from %s", field, source.uri)
    return path


def read_image(path: Path, least_px: int | None = None) -> Image.Image:
    """The picture of a fetched file: RGB, sRGB, upright, white where it is transparent. Raises `ImageInvalidError`.

    With `least_px` a large JPEG may be decoded at a fraction of its size, so long as its shorter side keeps that many
    pixels.
    """
    try:
        return photo_reading.read_photo(path.read_bytes(), "The start picture", least_px)
    except PhotoError as error:
        raise ImageInvalidError(str(error)) from error


def read_mask(path: Path, image_px: tuple[int, int], settings: Mask, remarks: Remarks) -> Image.Image:
    """The mask of a fetched file: grey, upright, white where the prompt paints by these settings, and scaled to
    `image_px`, the start picture's size, with a remark if its own differs.

    Raises `ImageInvalidError`, also for a mask that selects nothing.
    """
    is_alpha = settings.channel is MaskChannel.TRANSPARENCY
    read = photo_reading.read_opacity if is_alpha else photo_reading.read_mask
    try:
        mask = read(path.read_bytes(), "The mask")
    except PhotoError as error:
        raise ImageInvalidError(str(error)) from error
    # Of transparency, the opposite of opacity is painted; `invert` turns that around once more.
    mask = ImageOps.invert(mask) if settings.invert is not is_alpha else mask
    if mask.getbbox() is None:
        raise ImageInvalidError(_empty_mask(settings))
    if mask.size == image_px:
        return mask
    remarks.add(
        RemarkReason.SETTING_UNSUITABLE,
        f"The mask of {mask.width}×{mask.height} pixels was scaled to the {image_px[0]}×{image_px[1]} of startImage. "
        "Use a mask of the size of the picture.",
    )
    return mask.resize(image_px, Image.Resampling.BILINEAR)


def _empty_mask(settings: Mask) -> str:
    if settings.channel is MaskChannel.TRANSPARENCY:
        missing = "opaque" if settings.invert else "transparent"
        advice = f"Make the part to paint {missing}, or set mask.channel to Brightness."
        return f"The mask has no {missing} part, and by mask.channel nothing would be painted. {advice}"
    if settings.invert:
        return "The mask is white everywhere, and with mask.invert nothing would be painted. Paint a part of it black."
    return "The mask is black everywhere: nothing would be painted. Paint a part of it white, or set mask.invert."


def _require_own_job(storage: Storage, uid: str, namespace: str, image: str) -> None:
    """Raises `ImageNotFoundError` or `ImageNotAllowedError` unless the job has finished and is of the namespace."""
    content = storage.read(manifest_key(uid))
    if content is None:
        raise ImageNotFoundError(
            f"{image} can't be read: there is no finished job {uid}. Wait until it has succeeded, or correct the URI."
        )
    try:
        owner = Manifest.model_validate_json(content).namespace
    except ValidationError as error:
        raise ImageNotAllowedError(f"{image} can't be read: the manifest of job {uid} is unreadable.") from error
    if owner is None:
        raise ImageNotAllowedError(
            f"{image} was made by an older release, which did not record the namespace of job {uid}. Copy the picture "
            f"to images/{namespace}/, or download it and upload it with the request."
        )
    if owner != namespace:
        raise ImageNotAllowedError(
            f"{image} is a picture of a job in another namespace. Jobs of {namespace!r} may read their own only: copy "
            f"it to images/{namespace}/."
        )


def _download(storage: Storage, uri: str, path: Path, name: str) -> None:
    bucket, prefix = parse_uri(uri)
    try:
        storage.download(bucket, prefix.removesuffix("/"), path, bounds.MAX_PHOTO_BYTES)
    except (NoSuchObjectError, NoSuchBucketError) as error:
        raise ImageNotFoundError(f"{name} {uri} does not exist. Correct it, or store the picture there.") from error
    except ObjectTooLargeError as error:
        limit = bounds.MAX_PHOTO_BYTES // 1024**2
        raise ImageInvalidError(f"{name}: {error}, more than the {limit} MiB of a picture. Make it smaller.") from error


def _check(path: Path, uri: str, name: str) -> None:
    """Decode the file completely in a process with limits of memory and time."""
    decoder = PhotoDecoder(CHECK_LIMITS)
    try:
        with path.open("rb") as file:
            decoder.check(file.fileno(), uri)
    except PhotoError as error:
        raise ImageInvalidError(f"{name} {uri} {error.problem}. {error.advice}") from error
    finally:
        decoder.kill()
