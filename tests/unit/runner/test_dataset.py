"""Photos at the runner's door: what is taken and how it is straightened, what is refused and in which words."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from darkroom_contract.photos import MAX_PHOTOS
from darkroom_runner.dataset import Photo, fetch_photos, read_photo
from darkroom_runner.errors import DatasetInvalidError, DatasetNotFoundError
from darkroom_runner.storage import Storage

Put = Callable[..., str]


def encode(picture: Image.Image, kind: str = "PNG", **extra: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **extra)
    return buffer.getvalue()


RED = Image.new("RGB", (80, 64), (250, 10, 10))


def huge_png(width: int, height: int) -> bytes:
    """A few bytes that claim many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture
def fetch(storage: Storage, put_dataset: Put, tmp_path: Path) -> Callable[[dict[str, bytes]], list[Photo]]:
    return lambda files: fetch_photos(storage, put_dataset(files), tmp_path)


def test_jpeg_png_and_webp_are_taken_and_the_rest_is_left_alone(
    fetch: Callable[..., list[Photo]], tmp_path: Path
) -> None:
    photos = fetch(
        {
            "a.JPG": encode(RED, "JPEG"),
            "b.png": encode(RED),
            "c.webp": encode(RED, "WEBP"),
            "notes.txt": b"a dog",
            "below/d.png": b"in a folder of its own",
        }
    )

    assert [photo.name for photo in photos] == ["a.JPG", "b.png", "c.webp"]
    assert {(photo.picture.mode, photo.picture.size) for photo in photos} == {("RGB", (80, 64))}
    assert list(tmp_path.iterdir()) == []


def test_a_camera_held_upright_is_believed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo"
    path.write_bytes(encode(RED, "JPEG", exif=exif))

    assert read_photo(path, "photo.jpg").size == (64, 80)


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", 200, (200, 200, 200)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("LA", (0, 255), (0, 0, 0)),
        ("I;16", 256 * 200, (200, 200, 200)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(
    tmp_path: Path, mode: str, color: int | tuple[int, ...], expected: tuple[int, ...]
) -> None:
    path = tmp_path / "photo"
    path.write_bytes(encode(Image.new(mode, (64, 64), color)))

    assert read_photo(path, "photo.png").getpixel((0, 0)) == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("text.jpg", b"this is a text", r"text\.jpg is no JPEG, PNG or WebP picture"),
        ("empty.png", b"", r"empty\.png is no JPEG, PNG or WebP picture"),
        ("gif.png", encode(RED, "GIF"), r"gif\.png is no JPEG, PNG or WebP picture"),
        ("cut.png", encode(Image.effect_noise((99, 99), 50))[:2000], r"cut\.png is broken or cut short"),
        ("cut.jpg", encode(Image.effect_noise((99, 99), 50), "JPEG")[:1500], r"cut\.jpg is broken or cut short"),
        ("wide.png", encode(Image.new("L", (30_000, 100))), r"wide\.png has 30000×100 pixels; at most 16000"),
        ("many.png", huge_png(15_000, 15_000), r"many\.png has (15000×15000|too many) pixels"),
        ("tiny.png", encode(RED.resize((63, 64))), r"tiny\.png has 63×64 pixels; at least 64"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(("png", "jpg")) else "",
)
def test_what_can_t_be_used_is_named_and_says_what_to_do(
    fetch: Callable[..., list[Photo]], name: str, content: bytes, words: str
) -> None:
    with pytest.raises(DatasetInvalidError, match=words) as refusal:
        fetch({"good.png": encode(RED), name: content})

    assert any(advice in str(refusal.value) for advice in ("Replace it", "Make it smaller", "Use a larger photo"))


def test_more_photos_than_are_taken_are_refused_before_any_is_downloaded(fetch: Callable[..., list[Photo]]) -> None:
    with pytest.raises(DatasetInvalidError, match=f"holds {MAX_PHOTOS + 1} photos, more than {MAX_PHOTOS}"):
        fetch({f"{number:03d}.png": b"never looked at" for number in range(MAX_PHOTOS + 1)})


@pytest.mark.parametrize("files", [{}, {"notes.txt": b"a dog"}])
def test_a_folder_without_photos_is_told(fetch: Callable[..., list[Photo]], files: dict[str, bytes]) -> None:
    with pytest.raises(DatasetNotFoundError, match="No photos lie in s3://darkroom/"):
        fetch(files)


def test_a_bucket_that_is_not_there_is_told(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"no bucket 'elsewhere'.*dataset\.uri"):
        fetch_photos(storage, "s3://elsewhere/photos/", tmp_path)


def test_a_key_never_becomes_a_path(fetch: Callable[..., list[Photo]], tmp_path: Path) -> None:
    photos = fetch({"..-..-etc-passwd.png": encode(RED)})

    assert photos[0].name == "..-..-etc-passwd.png"
    assert list(tmp_path.rglob("*passwd*")) == []
