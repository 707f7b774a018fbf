"""Start pictures and masks: permission, download, limits and decoding, against a real S3 server."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from support.photo_cases import claimed_png
from support.runner_photos import png

from darkroom_contract.outcome import Outcome
from darkroom_contract.photos import limits as bounds
from darkroom_contract.specs.start_image import ImageSource, Mask, MaskChannel
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import Manifest, manifest_key
from darkroom_runner.errors import ImageInvalidError, ImageNotAllowedError, ImageNotFoundError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.storage import Storage
from darkroom_runner.sampling.start_image import fetch_image, read_image, read_mask

POLICY = DatasetPolicy("darkroom", ("s3://darkroom/shared/",))


def fetch(storage: Storage, folder: Path, key: str, field: str = "startImage") -> Path:
    return fetch_image(storage, "default", ImageSource(uri=f"s3://darkroom/{key}"), POLICY, folder, field)


def picture(colour: object = "red", size: tuple[int, int] = (96, 64), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, **{"format": "PNG", **options})  # type: ignore[arg-type]
    return buffer.getvalue()


def write_manifest(storage: Storage, uid: str, namespace: str | None) -> None:
    manifest = Manifest(
        outcome=Outcome(succeeded=True), attempt=1, namespace=namespace, created=datetime.now(UTC)
    ).model_dump_json(by_alias=True, exclude_none=True)
    storage.write(manifest_key(uid), manifest.encode(), "application/json")


@pytest.mark.parametrize("key", ["images/default/x/image.png", "datasets/default/dog/1.png", "shared/1.png"])
def test_picture_is_fetched_from_own_and_allowed_folders(storage: Storage, tmp_path: Path, key: str) -> None:
    storage.write(key, picture("red"), "image/png")

    image = read_image(fetch(storage, tmp_path, key))

    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (96, 64), (255, 0, 0))


def test_turned_photo_comes_upright(storage: Storage, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    storage.write("images/default/turned.jpg", picture(format="JPEG", exif=exif), "image/jpeg")

    assert read_image(fetch(storage, tmp_path, "images/default/turned.jpg")).size == (64, 96)


def test_picture_of_an_own_finished_job_is_fetched(storage: Storage, tmp_path: Path) -> None:
    storage.write("runs/own-1/a-seed-0.png", picture(), "image/png")
    write_manifest(storage, "own-1", "default")

    assert read_image(fetch(storage, tmp_path, "runs/own-1/a-seed-0.png")).size == (96, 64)


def test_picture_of_another_namespace_is_refused(storage: Storage, tmp_path: Path) -> None:
    storage.write("runs/other-1/a-seed-0.png", picture(), "image/png")
    write_manifest(storage, "other-1", "team-b")

    with pytest.raises(ImageNotAllowedError, match=r"mask\.uri s3://darkroom/runs/other-1/.* in another namespace"):
        fetch(storage, tmp_path, "runs/other-1/a-seed-0.png", "mask")
    assert list(tmp_path.iterdir()) == []


def test_picture_of_an_older_release_is_refused_with_advice(storage: Storage, tmp_path: Path) -> None:
    storage.write("runs/old-1/a-seed-0.png", picture(), "image/png")
    write_manifest(storage, "old-1", None)

    with pytest.raises(ImageNotAllowedError, match=r"older release.* Copy the picture to images/default/"):
        fetch(storage, tmp_path, "runs/old-1/a-seed-0.png")


def test_picture_of_an_unfinished_job_is_not_found(storage: Storage, tmp_path: Path) -> None:
    storage.write("runs/running-1/a-seed-0.png", picture(), "image/png")

    with pytest.raises(ImageNotFoundError, match="no finished job running-1"):
        fetch(storage, tmp_path, "runs/running-1/a-seed-0.png")


@pytest.mark.parametrize(
    "uri", ["s3://darkroom/images/team-b/1.png", "s3://elsewhere/1.png", "s3://darkroom/images/default/../team-b/1.png"]
)
def test_picture_outside_of_the_folders_is_not_read(storage: Storage, tmp_path: Path, uri: str) -> None:
    with pytest.raises(ImageNotAllowedError, match=r"startImage\.uri"):
        fetch_image(storage, "default", ImageSource.model_construct(uri=uri), POLICY, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_picture_is_named_with_its_field(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError, match=r"video\.startImage\.uri s3://darkroom/shared/none\.png does not"):
        fetch(storage, tmp_path, "shared/none.png", "video.startImage")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no picture", r"startImage\.uri s3://darkroom/shared/odd\.png is no JPEG, PNG"),
        (picture()[:60], "is damaged or cut short"),
        (picture(size=(32, 32)), "no side may have less than 64"),
        (claimed_png(15_000, 15_000), "at most 100 megapixels are read"),
        (claimed_png(100_000, 100), "no side may have more than 16000"),
    ],
    ids=["text", "cut", "small", "megapixels", "wide"],
)
def test_unusable_picture_is_refused(storage: Storage, tmp_path: Path, content: bytes, message: str) -> None:
    storage.write("shared/odd.png", content, "image/png")

    with pytest.raises(ImageInvalidError, match=message):
        fetch(storage, tmp_path, "shared/odd.png")


def test_large_file_is_not_downloaded(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write("shared/large.png", picture(), "image/png")
    monkeypatch.setattr(bounds, "MAX_PHOTO_BYTES", 100)

    with pytest.raises(ImageInvalidError, match=r"shared/large\.png has \d+ bytes, more than"):
        fetch(storage, tmp_path, "shared/large.png")
    assert list(tmp_path.iterdir()) == []


MASK = Mask(uri="s3://bucket/images/default/mask.png")
INVERTED = MASK.model_copy(update={"invert": True})
TRANSPARENCY = MASK.model_copy(update={"channel": MaskChannel.TRANSPARENCY})


def mask_file(folder: Path, white: tuple[int, int, int, int] | None, size: tuple[int, int] = (96, 64)) -> Path:
    mask = Image.new("L", size, 0)
    if white is not None:
        mask.paste(255, white)
    path = folder / "mask"
    path.write_bytes(png(mask))
    return path


def test_mask_is_white_where_the_prompt_paints(tmp_path: Path) -> None:
    path, remarks = mask_file(tmp_path, (0, 0, 48, 64)), Remarks()

    mask = read_mask(path, (96, 64), MASK, remarks)
    inverted = read_mask(path, (96, 64), INVERTED, remarks)

    assert (mask.mode, mask.getpixel((10, 10)), mask.getpixel((80, 10))) == ("L", 255, 0)
    assert (inverted.getpixel((10, 10)), inverted.getpixel((80, 10))) == (0, 255)
    assert remarks.collected == ()


def test_mask_of_another_size_is_scaled_with_a_remark(tmp_path: Path) -> None:
    remarks = Remarks()

    mask = read_mask(mask_file(tmp_path, (0, 0, 48, 64)), (192, 128), MASK, remarks)

    assert (mask.size, mask.getpixel((40, 64)), mask.getpixel((150, 64))) == ((192, 128), 255, 0)
    assert [each.reason for each in remarks.collected] == ["SettingUnsuitable"]
    assert "96×64 pixels was scaled to the 192×128" in remarks.collected[0].message


def test_transparent_part_of_a_mask_is_painted_whatever_its_colour(tmp_path: Path) -> None:
    """The convention of OpenAI's image edits."""
    picture = Image.new("RGBA", (96, 64), "black")
    picture.paste((255, 0, 0, 0), (0, 0, 48, 64))
    path, remarks = tmp_path / "mask", Remarks()
    path.write_bytes(png(picture))

    mask = read_mask(path, (96, 64), TRANSPARENCY, remarks)
    inverted = read_mask(path, (96, 64), TRANSPARENCY.model_copy(update={"invert": True}), remarks)

    assert (mask.mode, mask.getpixel((10, 10)), mask.getpixel((80, 10))) == ("L", 255, 0)
    assert (inverted.getpixel((10, 10)), inverted.getpixel((80, 10))) == (0, 255)


@pytest.mark.parametrize(
    ("white", "settings", "message"),
    [
        (None, MASK, "black everywhere"),
        ((0, 0, 96, 64), INVERTED, r"white everywhere, and with mask\.invert"),
        ((0, 0, 48, 64), TRANSPARENCY, r"no transparent part, and by mask\.channel"),
    ],
)
def test_mask_that_selects_nothing_is_refused(
    tmp_path: Path, white: tuple[int, int, int, int] | None, settings: Mask, message: str
) -> None:
    with pytest.raises(ImageInvalidError, match=message):
        read_mask(mask_file(tmp_path, white), (96, 64), settings, Remarks())
