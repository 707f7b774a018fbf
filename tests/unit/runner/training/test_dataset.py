"""Photos of a training: which files are read, which are refused with which message, and the remarks."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import processes
from support.photo_cases import bad_photos
from support.photos import P3, encode, rgb_profile, scene, shot_in, with_segment

from darkroom_contract.photos.decoder import DecodingLimits
from darkroom_contract.photos.limits import MAX_PHOTOS
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.errors import DatasetInvalidError, DatasetNotFoundError, InterruptedRunError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.storage import Storage
from darkroom_runner.tasks.train import TrainTask
from darkroom_runner.training import dataset
from darkroom_runner.training.buckets import Framing
from darkroom_runner.training.dataset import Photo, check_photo, fetch_datasets, read_photo
from darkroom_runner.training.photo_remarks import remark_upscaled

Put = Callable[..., str]
Fetch = Callable[[dict[str, bytes]], list[Photo]]

RED = Image.new("RGB", (80, 64), (250, 10, 10))
DISPLAY_P3 = rgb_profile("Display P3", P3)


@pytest.fixture
def remarks() -> Remarks:
    return Remarks()


@pytest.fixture
def fetch(storage: Storage, put_dataset: Put, tmp_path: Path, remarks: Remarks) -> Fetch:
    def fetch(files: dict[str, bytes]) -> list[Photo]:
        datasets = {"dataset": Dataset(uri=put_dataset(files))}
        return fetch_datasets(storage, datasets, tmp_path, False, remarks, ignore)["dataset"]

    return fetch


def ignore(photos: int, total: int) -> None:
    """Ignore progress."""


def messages(remarks: Remarks) -> dict[str, str]:
    return {remark.reason: remark.message for remark in remarks.collected}


def test_every_format_is_read_under_all_its_extensions(fetch: Fetch, remarks: Remarks) -> None:
    names = {"JPEG": ("a.JPG", "a.jpeg", "a.jfif"), "PNG": ("b.png",), "WEBP": ("c.webp",), "AVIF": ("d.AVIF",)}
    names |= {"HEIF": ("e.HEIC", "e.heif", "e.hif")}
    files = {name: encode(RED, kind) for kind, each in names.items() for name in each}

    photos = fetch({**files, "below/d.png": b"in a subfolder"})

    assert sorted(photo.name for photo in photos) == sorted(files)
    assert {(photo.read().mode, photo.read().size, photo.properties.size_px) for photo in photos} == {
        ("RGB", (80, 64), (80, 64))
    }
    assert messages(remarks) == {}


def test_the_format_is_detected_from_the_content(fetch: Fetch, remarks: Remarks) -> None:
    """Some phone apps forward HEIC photos as .jpg."""
    [photo] = fetch({"IMG_0001.jpg": encode(RED, "HEIF")})

    assert photo.properties.extension == "heic"
    assert photo.read().getpixel((9, 9)) == pytest.approx((250, 10, 10), abs=2)


def test_photos_stay_in_files_and_are_decoded_on_demand(fetch: Fetch, tmp_path: Path) -> None:
    first, second = fetch({"a.png": encode(RED), "b.png": encode(RED)})

    assert sorted(tmp_path.iterdir()) == [first.path, second.path]
    assert not any(isinstance(value, Image.Image) for value in vars(first).values())
    assert first.read() is not first.read()


@pytest.mark.parametrize("name", ["._IMG_1.JPG", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png", "Desktop.INI"])
def test_hidden_files_are_skipped_without_a_remark(fetch: Fetch, remarks: Remarks, name: str) -> None:
    photos = fetch({"a.jpg": encode(RED, "JPEG"), name: b"\0\5\26\7\0\2\0\0Mac OS X        "})

    assert [photo.name for photo in photos] == ["a.jpg"]
    assert messages(remarks) == {}


def test_skipped_files_are_counted_and_named(fetch: Fetch, remarks: Remarks) -> None:
    raw = {f"IMG_{number:04}.CR2": b"raw" for number in range(3, 20)}

    photos = fetch({"IMG_0001.JPG": encode(RED, "JPEG"), "IMG_0002.jpeg": encode(RED, "JPEG"), ".DS_Store": b"", **raw})

    assert len(photos) == 2
    assert list(messages(remarks)) == [RemarkReason.PHOTOS_LEFT_OUT]
    message = messages(remarks)[RemarkReason.PHOTOS_LEFT_OUT]
    assert message.startswith("17 of 19 files were skipped, such as IMG_0003.CR2, ")


@pytest.mark.parametrize("name", ["notes.md", "a.mov", "a.dng", "a.gif", "photo", "a.jpg.part"])
def test_a_file_of_another_type_adds_a_remark(fetch: Fetch, remarks: Remarks, name: str) -> None:
    fetch({"a.png": encode(RED), name: b"something"})

    assert name in messages(remarks)[RemarkReason.PHOTOS_LEFT_OUT]


def test_colour_conversions_add_one_remark(fetch: Fetch, remarks: Remarks) -> None:
    clear = scene().convert("RGBA")
    clear.putalpha(100)
    p3 = encode(shot_in(DISPLAY_P3), "JPEG", icc_profile=DISPLAY_P3)

    fetch(
        {
            "1.jpg": p3,
            "2.jpg": p3,
            "3.jpg": encode(scene().convert("CMYK"), "JPEG"),
            "4.jpg": with_segment(encode(scene(), "JPEG"), 0xE2, b"ICC_PROFILE\0\1\1no profile"),
            "5.png": encode(clear),
            "6.png": encode(scene()),
        }
    )

    assert messages(remarks) == {
        RemarkReason.PHOTOS_CONVERTED: "3 of 6 photos were converted to sRGB: 2 from Display P3, 1 from CMYK without a "
        "profile. 1 have an unreadable colour profile, such as 4.jpg, and were treated as sRGB. Transparent areas "
        "became white in 1, such as 5.png."
    }


def test_photos_much_smaller_than_the_training_size_add_a_remark(tmp_path: Path, remarks: Remarks) -> None:
    sizes = {"small.png": (300, 511), "wide.png": (2000, 200), "enough.png": (512, 600)}
    photos = []
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(encode(Image.new("RGB", size)))
        photos.append(check_photo(tmp_path / name, name))

    remark_upscaled(photos, Framing(1024), remarks)

    message = messages(remarks)[RemarkReason.PHOTOS_UPSCALED]
    assert message.startswith("2 of 3 photos are enlarged more than twice to the training size of 1024 pixels")
    assert "small.png (300×511), wide.png (2000×200)" in message


def test_photos_of_half_the_training_size_add_no_remark(tmp_path: Path, remarks: Remarks) -> None:
    (tmp_path / "a.png").write_bytes(encode(RED))

    remark_upscaled([check_photo(tmp_path / "a.png", "a.png")], Framing(128), remarks)

    assert messages(remarks) == {}


@pytest.mark.parametrize("what", bad_photos())
def test_an_invalid_photo_is_named_with_advice(tmp_path: Path, what: str) -> None:
    content, words = bad_photos()[what]
    path = tmp_path / "photo-000"
    path.write_bytes(content)

    for reading in (check_photo, read_photo):
        with pytest.raises(DatasetInvalidError, match=r"^IMG_0001\.png (is|has) ") as refusal:
            reading(path, "IMG_0001.png")
        assert words in str(refusal.value)


def test_one_invalid_photo_fails_the_dataset(fetch: Fetch) -> None:
    with pytest.raises(DatasetInvalidError, match=r"^cut\.png is damaged or cut short"):
        fetch({"good.png": encode(RED), "cut.png": encode(Image.effect_noise((99, 99), 50))[:2000]})


def test_photo_names_in_messages_are_short_and_printable(fetch: Fetch, remarks: Remarks) -> None:
    with pytest.raises(DatasetInvalidError, match=r"^a\?gpj\.x{74} is no JPEG"):
        fetch({"a\u202egpj." + "x" * 200 + ".jpg": b"nothing"})

    [photo] = fetch({"a\u202eb.png": encode(RED), "c\u202ed.gif": b"text"})
    assert photo.name == "a?b.png"
    assert "such as c?d.gif:" in messages(remarks)[RemarkReason.PHOTOS_LEFT_OUT]


def test_a_stop_signal_ends_the_run_between_two_photos(
    open_context: Callable[..., Any], put_dataset: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = put_dataset({f"{number}.png": encode(RED) for number in range(5)})
    document = {"modelId": "m", "prompt": "a photo of sks dog", "dataset": {"uri": uri}}
    spec = TrainJobSpec.from_dict(document)
    context, steps = open_context(spec), list[tuple[int, int]]()

    def stop_at_the_second(part: int, parts: int, step: int, total: int) -> None:
        steps.append((step, total))
        context.stop_signal.requested = step == 2

    monkeypatch.setattr(context.progress, "part_step", stop_at_the_second)
    with pytest.raises(InterruptedRunError):
        TrainTask(context, spec).download()

    assert steps == [(0, 5), (1, 5), (2, 5)]


def test_too_many_photos_are_refused_before_any_download(fetch: Fetch) -> None:
    with pytest.raises(DatasetInvalidError, match=f"has {MAX_PHOTOS + 1} photos, more than {MAX_PHOTOS}"):
        fetch({f"{number:03d}.png": b"never read" for number in range(MAX_PHOTOS + 1)})


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "There are no photos in s3://darkroom/"),
        ({"notes.txt": b"a dog", ".DS_Store": b""}, "only 1 files of other types"),
    ],
)
def test_a_folder_without_photos_is_reported(fetch: Fetch, files: dict[str, bytes], words: str) -> None:
    with pytest.raises(DatasetNotFoundError, match=words):
        fetch(files)


def test_a_missing_bucket_is_reported(storage: Storage, tmp_path: Path, remarks: Remarks) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"no bucket 'elsewhere'.*dataset\.uri"):
        fetch_datasets(storage, {"dataset": Dataset(uri="s3://elsewhere/photos/")}, tmp_path, False, remarks, ignore)


def test_an_object_key_never_becomes_a_path(fetch: Fetch, tmp_path: Path) -> None:
    [photo] = fetch({"a..-..-etc-passwd.png": encode(RED)})

    assert (photo.name, photo.path.parent) == ("a..-..-etc-passwd.png", tmp_path)
    assert list(tmp_path.rglob("*passwd*")) == []


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (DecodingLimits(64 * 1024**2, 60), "takes more memory to decode than the 64 MiB"),
        (DecodingLimits(1024**3, 0.001), "takes longer to decode than the 0.001 s"),
    ],
)
def test_a_photo_that_exceeds_the_decoding_limits_is_named(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch, limits: DecodingLimits, words: str
) -> None:
    monkeypatch.setattr(dataset, "CHECK_LIMITS", limits)
    before = processes.children(os.getpid())

    with pytest.raises(DatasetInvalidError, match=rf"^wide\.png {words}"):
        fetch({"wide.png": encode(Image.new("RGB", (4500, 4000), "olive"), "PNG")})

    assert processes.children(os.getpid()) == before
