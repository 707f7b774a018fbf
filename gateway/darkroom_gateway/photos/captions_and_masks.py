"""Captions and masks of uploaded photos: which file belongs to which photo, and what makes one unusable.

Called by photos/upload_validator.py. photos/file_roles.py says what each file is.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from darkroom_contract.specs.dataset import MAX_CAPTION_CHARACTERS
from darkroom_gateway.errors import FieldError, InvalidPhotosError
from darkroom_gateway.photos.file_roles import FileRole
from darkroom_gateway.photos.upload_form import Upload

ASPECT_RATIO_TOLERANCE = 0.02
"""Relative difference of the aspect ratios of a photo and its mask. Rounding of a mask with 64 pixels on a side makes
1.6%."""


@dataclass(frozen=True)
class PhotoFiles:
    """A photo of the form, with its caption and its mask."""

    photo: Upload
    caption: Upload | None = None
    mask: Upload | None = None


def paired(uploads: Sequence[Upload]) -> list[PhotoFiles]:
    """The photos in the order of the form, each with its caption and mask.

    Raises `InvalidPhotosError` for each caption or mask that belongs to no photo, or to more than one.
    """
    photos: dict[str, list[Upload]] = defaultdict(list)
    for each in uploads:
        if each.role is FileRole.PHOTO and each.stem:
            photos[each.stem].append(each)
    owners: dict[tuple[FileRole, int], Upload] = {}
    field_errors = []
    for each in uploads:
        if each.role is FileRole.PHOTO:
            continue
        found = photos.get(each.stem, [])
        if len(found) != 1 or (each.role, id(found[0])) in owners:
            field_errors.append(_unpaired(each, found))
        else:
            owners[each.role, id(found[0])] = each
    if field_errors:
        raise InvalidPhotosError(tuple(field_errors))
    return [
        PhotoFiles(each, owners.get((FileRole.CAPTION, id(each))), owners.get((FileRole.MASK, id(each))))
        for each in uploads
        if each.role is FileRole.PHOTO
    ]


def _unpaired(upload: Upload, photos: Sequence[Upload]) -> FieldError:
    name, role = upload.name, upload.role
    if not photos:
        example = "photo.txt for photo.jpg" if role is FileRole.CAPTION else "photo.mask.png for photo.jpg"
        return FieldError(name, f"{name} is the {role} of no photo. Name it after its photo ({example}), or remove it.")
    if len(photos) > 1:
        named = " and ".join(each.name for each in photos[:2])
        return FieldError(name, f"{name} may be the {role} of {named}. Give these photos different names.")
    return FieldError(name, f"{name} is a second {role} of {photos[0].name}. Send one.")


def read_captions(files: Sequence[PhotoFiles]) -> list[str | None]:
    """The caption of each photo; None without one, or with a blank one.

    Raises `InvalidPhotosError` for captions that are not UTF-8 or too long.
    """
    captions: list[str | None] = []
    field_errors = []
    for each in files:
        caption = None if each.caption is None else _read_caption(each.caption)
        if isinstance(caption, FieldError):
            field_errors.append(caption)
        else:
            captions.append(caption or None)
    if field_errors:
        raise InvalidPhotosError(tuple(field_errors))
    return captions


def _read_caption(upload: Upload) -> str | FieldError:
    """Without byte order mark and surrounding white space, lines separated by LF."""
    upload.file.seek(0)
    try:
        text = upload.file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _not_utf8(upload.name, f"byte {error.start + 1} is not valid")
    if "\0" in text:  # Valid in UTF-8, but UTF-16 without a byte order mark is more likely.
        return _not_utf8(upload.name, "it contains NUL")
    caption = "\n".join(text.splitlines()).strip()
    if len(caption) > MAX_CAPTION_CHARACTERS:
        message = f"{upload.name}: shorten the caption to at most {MAX_CAPTION_CHARACTERS:,} characters."
        return FieldError(upload.name, message, f"{len(caption):,} characters")
    return caption


def _not_utf8(name: str, why: str) -> FieldError:
    return FieldError(name, f"{name} is not UTF-8 text: {why}. Save the caption as UTF-8, or remove it.")


@dataclass(frozen=True)
class DecodedMask:
    """A mask beside its photo, both decoded. Sizes are width and height, upright."""

    photo_px: tuple[int, int]
    mask_px: tuple[int, int]
    black: bool


def mask_faults(files: Sequence[PhotoFiles], masks: Sequence[DecodedMask | None]) -> Iterator[FieldError]:
    """An error for each mask whose aspect ratio is not that of its photo, or that is black everywhere."""
    for each, mask in zip(files, masks, strict=True):
        if each.mask is None or mask is None:
            continue
        (width, height), (mask_width, mask_height) = mask.photo_px, mask.mask_px
        if not _is_same_shape(mask.photo_px, mask.mask_px):
            message = (
                f"{each.mask.name} has {mask_width} × {mask_height} pixels, and {each.photo.name} has "
                f"{width} × {height}: the aspect ratios differ. Make the mask from the whole photo, in any size."
            )
            yield FieldError(each.mask.name, message, f"{mask_width} × {mask_height} pixels")
        elif mask.black:
            message = (
                f"{each.mask.name} is black everywhere, so nothing of {each.photo.name} would be learned. Make what is "
                "to be learned white, or remove the photo."
            )
            yield FieldError(each.mask.name, message)


def _is_same_shape(photo_px: tuple[int, int], mask_px: tuple[int, int]) -> bool:
    one, other = photo_px[0] * mask_px[1], photo_px[1] * mask_px[0]
    return abs(one - other) <= ASPECT_RATIO_TOLERANCE * max(one, other)
