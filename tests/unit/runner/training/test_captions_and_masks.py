"""Captions and masks in dataset folders: which are read, which are refused, and the remarks on the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.photos import encode

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.dataset import Dataset
from darkroom_runner.errors import DatasetInvalidError, DatasetNotFoundError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.storage import Storage
from darkroom_runner.training import listing
from darkroom_runner.training.dataset import Photo, fetch_datasets

Fetch = Callable[..., dict[str, Photo]]

RED = encode(Image.new("RGB", (96, 64), (250, 10, 10)))


def half(size: tuple[int, int] = (96, 64), mode: str = "L") -> Image.Image:
    """A mask whose left half is white."""
    mask = Image.new(mode, size)
    mask.paste("white", (0, 0, size[0] // 2, size[1]))
    return mask


@pytest.fixture
def remarks() -> Remarks:
    return Remarks()


@pytest.fixture
def fetch(storage: Storage, put_dataset: Callable[..., str], tmp_path: Path, remarks: Remarks) -> Fetch:
    """The photos of one dataset by name."""

    def fetch(
        files: dict[str, bytes], masked: bool = False, captions: dict[str, str] | None = None
    ) -> dict[str, Photo]:
        datasets = {"dataset": Dataset(uri=put_dataset(files), captions=captions)}
        found = fetch_datasets(storage, datasets, tmp_path, masked, remarks, lambda done, total: None)
        return {photo.name: photo for photo in found["dataset"]}

    return fetch


def messages(remarks: Remarks) -> dict[str, str]:
    return {remark.reason: remark.message for remark in remarks.collected}


# --- captions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "caption"),
    [
        (b"sks dog, grass", "sks dog, grass"),
        (b"\xef\xbb\xbfsks dog", "sks dog"),
        (b"  sks dog,\r\n  on grass\n", "sks dog, on grass"),
        ("sks 犬".encode(), "sks 犬"),
        (b" \n", None),
    ],
    ids=["plain", "byte order mark", "lines", "UTF-8", "blank"],
)
def test_a_text_file_is_the_caption_of_the_photo_beside_it(
    fetch: Fetch, remarks: Remarks, content: bytes, caption: str | None
) -> None:
    photos = fetch({"a.png": RED, "a.txt": content, "b.png": RED})

    assert (photos["a.png"].caption, photos["b.png"].caption) == (caption, None)
    assert messages(remarks) == {}


def test_case_does_not_separate_a_photo_from_its_files(fetch: Fetch) -> None:
    photos = fetch({"IMG_1.PNG": RED, "img_1.TXT": b"sks dog", "Img_1.Mask.png": encode(half())}, masked=True)

    assert photos["IMG_1.PNG"].caption == "sks dog"
    assert photos["IMG_1.PNG"].mask is not None


def test_the_job_s_captions_win_over_files(fetch: Fetch) -> None:
    captions = {"a.png": "from the\njob", "b.png": " "}
    photos = fetch({"a.png": RED, "a.txt": b"from a file", "b.png": RED, "b.txt": b"of b"}, captions=captions)

    assert (photos["a.png"].caption, photos["b.png"].caption) == ("from the job", None)


def test_captions_without_a_photo_add_a_remark(fetch: Fetch, remarks: Remarks) -> None:
    fetch({"a.png": RED, "b.txt": b"no photo"}, captions={"a": "without its extension", "a.png": "right"})

    assert messages(remarks) == {
        RemarkReason.CAPTIONS_LEFT_OUT: "1 text files match no photo, such as b.txt: photo.txt is the caption of "
        "photo.jpg. 1 of dataset.captions match no photo, such as a: use the file names with their extension."
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("sks dog".encode("utf-16"), "not UTF-8 text: byte 1 is not valid"),
        ("sks dog".encode("utf-16-le"), "not UTF-8 text: it contains NUL"),
        ("chien à Paris".encode("latin-1"), "not UTF-8 text: byte 7 is not valid"),
        (b"dog " * 251, "1003 characters, more than 1000"),
        (b" " * (17 * 1024), "17 KiB, more than 16: too long for a caption"),
    ],
    ids=["UTF-16", "UTF-16 without a mark", "Latin-1", "long", "large"],
)
def test_an_unreadable_caption_is_named(fetch: Fetch, content: bytes, words: str) -> None:
    with pytest.raises(DatasetInvalidError, match=r"\ba\.txt\b") as refusal:
        fetch({"a.png": RED, "a.txt": content})

    assert words in str(refusal.value)


# --- masks ---------------------------------------------------------------------------------------------------------


def test_a_mask_is_no_photo_and_unused_without_masked_loss(fetch: Fetch, remarks: Remarks) -> None:
    photos = fetch({"a.png": RED, "a.mask.png": encode(half())})

    assert list(photos) == ["a.png"]
    assert photos["a.png"].mask is None
    assert messages(remarks) == {
        RemarkReason.MASKS_LEFT_OUT: "1 masks are not used, such as a.mask.png: set training.maskedLoss, or remove "
        "them."
    }


def test_a_folder_with_masks_alone_has_no_photos(fetch: Fetch) -> None:
    with pytest.raises(DatasetNotFoundError, match="only 1 files of other types"):
        fetch({"a.mask.png": encode(half())}, masked=True)


@pytest.mark.parametrize(
    "mask",
    [half(), half(mode="RGB"), half((192, 128)), half((97, 64)), half(mode="1")],
    ids=["grey", "colour", "larger", "rounded", "two values"],
)
def test_a_mask_is_read_in_every_mode_and_size(fetch: Fetch, mask: Image.Image) -> None:
    read = fetch({"a.png": RED, "a.mask.png": encode(mask)}, masked=True)["a.png"].read_mask()

    assert read is not None
    assert (read.mode, read.size) == ("L", mask.size)
    assert (read.getpixel((2, 2)), read.getpixel((mask.width - 2, 2))) == (255, 0)


def test_transparent_parts_of_a_mask_are_black(fetch: Fetch) -> None:
    mask = Image.new("RGBA", (96, 64), (255, 255, 255, 255))
    mask.paste((255, 255, 255, 0), (48, 0, 96, 64))

    read = fetch({"a.png": RED, "a.mask.png": encode(mask)}, masked=True)["a.png"].read_mask()

    assert read is not None
    assert (read.getpixel((2, 2)), read.getpixel((90, 2))) == (255, 0)


def test_a_photo_s_transparency_is_its_mask(fetch: Fetch, remarks: Remarks) -> None:
    photo = Image.new("RGB", (96, 64), "red")
    photo.putalpha(half())
    photos = fetch({"a.png": encode(photo), "b.png": RED}, masked=True)

    opacity = photos["a.png"].read_mask()
    assert opacity is not None
    assert (opacity.getpixel((2, 2)), opacity.getpixel((90, 2))) == (255, 0)
    assert photos["b.png"].read_mask() is None
    assert (
        "became white in 1, such as a.png and serve as their mask" in messages(remarks)[RemarkReason.PHOTOS_CONVERTED]
    )


def test_a_mask_wins_over_transparency(fetch: Fetch) -> None:
    photo = Image.new("RGBA", (96, 64), (255, 0, 0, 100))
    read = fetch({"a.png": encode(photo), "a.mask.png": encode(half())}, masked=True)["a.png"].read_mask()

    assert read is not None
    assert read.getpixel((2, 2)) == 255


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.png": RED, "a.mask.png": encode(Image.new("L", (96, 64)))}, "The mask of a.mask.png is black everywhere"),
        ({"a.png": encode(Image.new("RGBA", (96, 64)))}, "The mask of a.png is black everywhere"),
        ({"a.png": RED, "a.mask.png": encode(half((64, 64)))}, "a.mask.png has 64×64 pixels and its photo 96×64"),
        ({"a.png": RED, "a.mask.png": b"no picture"}, "a.mask.png is no JPEG"),
    ],
    ids=["black", "transparent", "another shape", "damaged"],
)
def test_an_unusable_mask_is_named(fetch: Fetch, files: dict[str, bytes], words: str) -> None:
    with pytest.raises(DatasetInvalidError) as refusal:
        fetch(files, masked=True)

    assert words in str(refusal.value)


def test_a_mask_without_a_photo_adds_a_remark(fetch: Fetch, remarks: Remarks) -> None:
    fetch({"a.png": RED, "b.mask.png": encode(half())}, masked=True)

    assert messages(remarks)[RemarkReason.MASKS_LEFT_OUT].startswith("1 masks match no photo, such as b.mask.png")


# --- several datasets ----------------------------------------------------------------------------------------------


def test_the_photos_of_several_datasets_are_kept_apart(
    storage: Storage, put_dataset: Callable[..., str], tmp_path: Path, remarks: Remarks
) -> None:
    datasets = {
        "dataset": Dataset(uri=put_dataset({"a.png": RED, "a.txt": b"one"})),
        "concepts[0].dataset": Dataset(uri=put_dataset({"a.png": RED, "b.png": RED}), captions={"b.png": "two"}),
    }
    steps: list[tuple[int, int]] = []

    found = fetch_datasets(storage, datasets, tmp_path, False, remarks, lambda *step: steps.append(step))

    assert {path: [(photo.name, photo.caption) for photo in photos] for path, photos in found.items()} == {
        "dataset": [("a.png", "one")],
        "concepts[0].dataset": [("a.png", None), ("b.png", "two")],
    }
    assert len({photo.path for photos in found.values() for photo in photos}) == 3
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_size_limit_counts_all_datasets_and_masks(
    storage: Storage,
    put_dataset: Callable[..., str],
    tmp_path: Path,
    remarks: Remarks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask = encode(half())
    monkeypatch.setattr(listing.bounds, "MAX_DATASET_BYTES", 2 * len(RED) + len(mask) - 1)
    files: dict[str, Any] = {"a.png": RED, "a.mask.png": mask}
    datasets = {"dataset": Dataset(uri=put_dataset(files)), "more": Dataset(uri=put_dataset({"a.png": RED}))}

    fetch_datasets(storage, {"dataset": datasets["dataset"]}, tmp_path, True, remarks, lambda done, total: None)
    with pytest.raises(DatasetInvalidError, match="The photos of the job have"):
        fetch_datasets(storage, datasets, tmp_path, True, remarks, lambda done, total: None)
