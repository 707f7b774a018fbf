"""Lists the dataset folders of a training and checks numbers and sizes of files, before the first download."""

from collections.abc import Iterable, Mapping

from darkroom_contract.photos import limits as bounds
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.storage.keys import parse_uri
from darkroom_runner.errors import DatasetInvalidError, DatasetNotFoundError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.storage import NoSuchBucketError, Storage, StoredObject
from darkroom_runner.training.captions import MAX_CAPTION_BYTES
from darkroom_runner.training.companions import Listing, sort_files

_MIB = 1024**2
_NAMED = 3
"""Number of files that a remark names; the others are counted."""


def list_datasets(
    storage: Storage, datasets: Mapping[str, Dataset], masked: bool, remarks: Remarks
) -> dict[str, Listing]:
    """The files of each dataset, by the path of its field; masks only if they are used (`masked`).

    Files that are skipped are added to `remarks`. Raises `DatasetNotFoundError` for a folder without photos, and
    `DatasetInvalidError` for too many or too large files.
    """
    listings = {path: _list(storage, path, dataset) for path, dataset in datasets.items()}
    _remark_others(list(listings.values()), remarks)
    _remark_captions(listings, datasets, remarks)
    _remark_masks(list(listings.values()), masked, remarks)
    for path, listing in listings.items():
        _check(listing, datasets[path].uri)
    _check_total([each.size_bytes for listing in listings.values() for each in listing.photos])
    return listings


def _list(storage: Storage, path: str, dataset: Dataset) -> Listing:
    bucket, prefix = parse_uri(dataset.uri)
    try:
        return sort_files(storage.list_folder(bucket, prefix))
    except NoSuchBucketError as error:
        message = f"There is no bucket {bucket!r}. Correct {path}.uri (now {dataset.uri})."
        raise DatasetNotFoundError(message) from error


# --- limits --------------------------------------------------------------------------------------------------------


def _check(listing: Listing, uri: str) -> None:
    count = len(listing.photos)
    if count < bounds.MIN_PHOTOS:
        found = f", only {listing.other_files} files of other types" if listing.other_files else ""
        raise DatasetNotFoundError(
            f"There are no photos in {uri}{found}. Put {bounds.FORMAT_NAMES} files directly in that folder "
            "(subfolders are not read)."
        )
    if count > bounds.MAX_PHOTOS:
        raise DatasetInvalidError(f"{uri} has {count} photos, more than {bounds.MAX_PHOTOS}. Remove some.")
    for each in listing.photos:
        _check_size(each.photo, bounds.MAX_PHOTO_BYTES)
        if each.mask is not None:
            _check_size(each.mask, bounds.MAX_PHOTO_BYTES)
        if each.caption is not None and each.caption.size_bytes > MAX_CAPTION_BYTES:
            raise DatasetInvalidError(
                f"{bounds.short_name(each.caption.name)} has {each.caption.size_bytes // 1024} KiB, more than "
                f"{MAX_CAPTION_BYTES // 1024}: too long for a caption. Shorten it."
            )


def _check_size(file: StoredObject, most_bytes: int) -> None:
    if file.size_bytes > most_bytes:
        raise DatasetInvalidError(
            f"{bounds.short_name(file.name)} has {file.size_bytes / _MIB:.0f} MiB, more than {most_bytes // _MIB}. "
            "Make it smaller."
        )


def _check_total(sizes_bytes: list[int]) -> None:
    if sum(sizes_bytes) > bounds.MAX_DATASET_BYTES:
        raise DatasetInvalidError(
            f"The photos of the job have {sum(sizes_bytes) / _MIB:.0f} MiB together, more than "
            f"{bounds.MAX_DATASET_BYTES // _MIB}. Make them smaller or remove some."
        )


# --- remarks -------------------------------------------------------------------------------------------------------


def _remark_others(listings: list[Listing], remarks: Remarks) -> None:
    others = [name for each in listings for name in each.others]
    if others:
        total = len(others) + sum(len(each.photos) for each in listings)
        remarks.add(
            RemarkReason.PHOTOS_LEFT_OUT,
            f"{len(others)} of {total} files were skipped, such as {_some(others)}: only {bounds.FORMAT_NAMES} files "
            "are read, by their extension.",
        )


def _remark_captions(listings: Mapping[str, Listing], datasets: Mapping[str, Dataset], remarks: Remarks) -> None:
    sentences = []
    if alone := [name for each in listings.values() for name in each.captions_alone]:
        sentences.append(
            f"{len(alone)} text files match no photo, such as {_some(alone)}: photo.txt is the caption of photo.jpg."
        )
    for path, listing in listings.items():
        names = {each.photo.name for each in listing.photos}
        if unmatched := [name for name in datasets[path].captions or {} if name not in names]:
            sentences.append(
                f"{len(unmatched)} of {path}.captions match no photo, such as {_some(unmatched)}: use the file names "
                "with their extension."
            )
    if sentences:
        remarks.add(RemarkReason.CAPTIONS_LEFT_OUT, " ".join(sentences))


def _remark_masks(listings: list[Listing], masked: bool, remarks: Remarks) -> None:
    alone = [name for each in listings for name in each.masks_alone]
    matched = [each.mask.name for listing in listings for each in listing.photos if each.mask is not None]
    sentences = []
    if matched and not masked:
        sentences.append(
            f"{len(matched)} masks are not used, such as {_some(matched)}: set training.maskedLoss, or remove them."
        )
    if alone:
        sentences.append(
            f"{len(alone)} masks match no photo, such as {_some(alone)}: photo.mask.png is the mask of photo.jpg."
        )
    if sentences:
        remarks.add(RemarkReason.MASKS_LEFT_OUT, " ".join(sentences))


def _some(names: Iterable[str]) -> str:
    return ", ".join(bounds.short_name(each) for each in list(names)[:_NAMED])
