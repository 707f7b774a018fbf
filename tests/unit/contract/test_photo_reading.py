"""The one reading of photos: upright, in sRGB, on white, and refused by name when it can't be read."""

import contextlib
import struct

import pytest
from PIL import Image, ImageDraw
from support import photo_cases
from support import photos as made

from darkroom_contract.photos.containers import take_apart
from darkroom_contract.photos.errors import PhotoError
from darkroom_contract.photos.reading import check_photo, read_photo

WITHIN = 3
"""Of 255: what is taken for the same colour."""


# --- turning -------------------------------------------------------------------------------------------------------


def corner_picture() -> Image.Image:
    """White with a red corner at the top left; 128×96."""
    picture = Image.new("RGB", (128, 96), "white")
    picture.paste("red", (0, 0, 40, 30))
    return picture


RED_CORNER = {1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left"} | {
    5: "top left",
    6: "top right",
    7: "bottom right",
    8: "bottom left",
}
"""Where the corner is once a picture was turned as its EXIF asks for."""


def red_corner(picture: Image.Image) -> str:
    right, bottom = picture.width - 5, picture.height - 5
    corners = {"top left": (4, 4), "top right": (right, 4), "bottom left": (4, bottom), "bottom right": (right, bottom)}
    [found] = [name for name, place in corners.items() if picture.getpixel(place)[1] < 100]
    return found


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", made.PICTURE_FORMATS)
def test_a_photo_is_turned_as_the_camera_was_held(kind: str, orientation: int) -> None:
    body = made.exif(orientation=orientation)
    content = made.encode(corner_picture(), kind, exif=body)

    picture, properties = read_photo(content, "a"), check_photo(content, "a")

    assert picture.size == properties.size_px == ((96, 128) if orientation > 4 else (128, 96))
    assert red_corner(picture) == RED_CORNER[orientation]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("what", made.ODD_EXIF)
def test_exif_that_can_t_be_parsed_costs_nothing_but_itself(kind: str, what: str) -> None:
    picture = read_photo(made.with_exif(kind, made.ODD_EXIF[what]), "IMG_0001.jpg")

    assert picture.size == ((128, 96) if what in made.UNTURNED else (96, 128))
    if what in made.UNTURNED:
        assert made.colour_error(picture) <= WITHIN


def test_odd_exif_costs_an_avif_nothing_either() -> None:
    assert read_photo(made.odd_avif(), "a.avif").size == (96, 128)


def test_a_heic_s_exif_does_not_turn_it_once_more() -> None:
    """The format has a property of its own for it (ISO/IEC 23008-12, 6.5.10); phones write both."""
    described = made.encode(corner_picture(), "HEIF", exif=made.exif(orientation=6))
    assert b"irot" in described

    assert red_corner(read_photo(described, "a.heic")) == "top right"


# --- pixels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [name for name in photo_cases.good_photos() if "MPO" in name or ", " in name])
def test_metadata_without_visible_effect_is_ignored(what: str) -> None:
    picture = read_photo(photo_cases.good_photos()[what], what)

    if picture.size == (128, 96):
        assert made.colour_error(picture) <= WITHIN
    else:
        assert "EXIF" in what


@pytest.mark.parametrize("value", [0, 257, 20_000, 40_000, 65_535])
def test_16_bit_grey_is_scaled(value: int) -> None:
    content = made.encode(Image.new("I;16", (64, 64), value), "PNG")

    assert read_photo(content, "a.png").getpixel((9, 9)) == (round(value / 257),) * 3


def test_16_bit_grey_of_the_transparent_value_becomes_white() -> None:
    picture = Image.new("I;16", (64, 64), 30_000)
    for place, value in {(1, 0): 30_001, (2, 0): 30_256, (3, 0): 0}.items():
        picture.putpixel(place, value)
    content = made.with_chunk(made.encode(picture, "PNG"), b"tRNS", struct.pack(">H", 30_000))

    read = read_photo(content, "a.png")

    assert [read.getpixel((x, 0))[0] for x in range(4)] == [255, 117, 118, 0]
    assert check_photo(content, "a.png").transparent


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 255, (255, 255, 255)),
        ("L", 200, (200, 200, 200)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("LA", (0, 255), (0, 0, 0)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(mode: str, colour: int | tuple[int, ...], expected: tuple[int, ...]) -> None:
    picture = read_photo(made.encode(Image.new(mode, (64, 64), colour), "PNG"), "a.png")

    assert (picture.mode, picture.getpixel((0, 0))) == ("RGB", pytest.approx(expected, abs=1))


def test_a_transparent_palette_becomes_white() -> None:
    palette = made.scene().convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    index = palette.getpixel((30, 30))

    picture = read_photo(made.encode(palette, "PNG", transparency=index), "a.png")

    assert picture.getpixel((30, 30)) == (255, 255, 255)
    assert made.colour_error(picture, {(98, 30): (30, 170, 60)}) <= WITHIN


# --- less than the whole --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("least_px", "size"), [(None, (1600, 1200)), (601, (1600, 1200)), (600, (800, 600)), (1, (200, 150))]
)
def test_a_large_jpeg_is_decoded_smaller_where_that_is_enough(least_px: int | None, size: tuple[int, int]) -> None:
    photo = Image.new("RGB", (1600, 1200), "white")
    ImageDraw.Draw(photo).ellipse((200, 200, 1400, 1000), fill=(200, 30, 60), outline="black", width=40)
    content = made.encode(photo, "JPEG")

    assert read_photo(content, "a.jpg", least_px).size == size
    assert check_photo(content, "a.jpg").size_px == (1600, 1200)


@pytest.mark.parametrize(("size", "smaller"), [((1604, 1204), (401, 301)), ((1602, 1202), (801, 601))])
def test_a_jpeg_is_decoded_smaller_only_where_no_edge_suffers(size: tuple[int, int], smaller: tuple[int, int]) -> None:
    assert read_photo(made.encode(Image.new("RGB", size), "JPEG"), "a.jpg", 1).size == smaller


def test_a_jpeg_of_odd_sides_is_decoded_whole() -> None:
    assert read_photo(made.encode(Image.new("RGB", (1601, 1201)), "JPEG"), "a.jpg", 1).size == (1601, 1201)


def test_the_size_is_the_whole_photo_s_when_it_lies_on_its_side() -> None:
    content = made.encode(Image.new("RGB", (1600, 1200)), "JPEG", exif=made.exif(orientation=6))

    assert check_photo(content, "a.jpg").size_px == (1200, 1600)
    assert read_photo(content, "a.jpg", 100).size == (150, 200)


# --- what can't be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", photo_cases.bad_photos())
def test_unusable_photos_are_refused_by_name(what: str) -> None:
    content, words = photo_cases.bad_photos()[what]

    for reading in (check_photo, read_photo):
        with pytest.raises(PhotoError, match=r"^holiday 1\.jpg (is|has) ") as refusal:
            reading(content, "holiday 1.jpg")
        assert words in str(refusal.value)
        assert any(advice in str(refusal.value) for advice in ("Replace it", "Scale it down", "Use a larger"))


# --- scans of a JPEG ------------------------------------------------------------------------------------------------


def progressive() -> bytes:
    return made.encode(made.scene(), "JPEG", progressive=True)


def test_a_jpeg_of_too_many_scans_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decoder goes through the whole picture for each: 25 MiB of empty scans take hours."""
    scans = progressive().count(b"\xff\xda")
    assert check_photo(progressive(), "a.jpg").extension == "jpg"

    monkeypatch.setattr("darkroom_contract.photos.limits.MAX_SCANS", scans)
    assert check_photo(progressive(), "a.jpg").extension == "jpg"

    monkeypatch.setattr("darkroom_contract.photos.limits.MAX_SCANS", scans - 1)
    with pytest.raises(PhotoError, match=rf"^holiday\.jpg has more than {scans - 1} scans .* Save it again"):
        check_photo(progressive(), "holiday.jpg")


@pytest.mark.parametrize(
    "hiding",
    [
        made.jpeg_segment(0xFE, b"\xff\xd9"),
        b"\xff\x02\xff\xff",
        b"\xff\xd3\xff\xff",
        b"\xff\xff\xff\0\x12",
        b"not a marker",
    ],
    ids=["end in a comment", "unknown marker", "restart marker", "stuffing", "junk"],
)
def test_scans_are_counted_whatever_lies_between_them(hiding: bytes) -> None:
    whole = progressive()
    before, scan, after = whole.partition(b"\xff\xda")
    assert take_apart(before + hiding + scan + after).scans == whole.count(scan) > 5


def test_bytes_that_only_resemble_a_scan_do_not_count() -> None:
    whole = made.encode(made.scene(), "JPEG")
    comment = made.jpeg_segment(0xFE, b"\xff\xda" * 200)
    behind = b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 200
    for content in (
        whole,
        made.with_segment(whole, 0xFE, b"\xff\xda" * 200),
        whole[:-2] + comment + whole[-2:] + behind,
    ):
        assert take_apart(content).scans == 1
        assert check_photo(content, "a.jpg").size_px == (128, 96)


@pytest.mark.parametrize("at", range(0, 600, 7))
@pytest.mark.parametrize("kind", made.PICTURE_FORMATS)
def test_a_changed_byte_is_read_or_refused_and_nothing_else(kind: str, at: int) -> None:
    content = bytearray(made.encode(made.scene(), kind, icc_profile=made.rgb_profile("P3", made.P3)))
    content[at % len(content)] ^= 0xFF

    with contextlib.suppress(PhotoError):
        assert read_photo(bytes(content), "a").mode == "RGB"


def test_of_a_file_of_countless_parts_the_rest_is_left_to_the_decoder() -> None:
    empty = made.png_chunk(b"tEXt", b"")

    assert take_apart(b"\x89PNG\r\n\x1a\n" + empty * 100_003).content == b"\x89PNG\r\n\x1a\n" + empty * 3


WEBP_SIZES = {
    b"VP8L": (21, (15_999 | 6_999 << 14).to_bytes(4, "little")),
    b"VP8X": (24, (15_999).to_bytes(3, "little") + (6_999).to_bytes(3, "little")),
    b"VP8 ": (26, (16_000).to_bytes(2, "little") + (7_000).to_bytes(2, "little")),
}
"""By its first chunk: where a WebP has its size, and how 16000 × 7000 is written there."""


@pytest.mark.parametrize(
    ("kind", "options"),
    [(b"VP8L", {"lossless": True}), (b"VP8 ", {"lossless": False}), (b"VP8X", {"icc_profile": b"x" * 200})],
)
def test_a_webp_of_too_many_pixels_is_refused_before_its_decoder_takes_memory(
    kind: bytes, options: dict[str, object]
) -> None:
    """libwebp takes 8 bytes a pixel as soon as a file is opened."""
    content = bytearray(made.encode(Image.new("RGB", (128, 96), "olive"), "WEBP", **options))
    assert content[12:16] == kind
    at, size = WEBP_SIZES[kind]
    content[at : at + len(size)] = size

    with pytest.raises(PhotoError, match=r"^a\.webp has 16000 × 7000 pixels: at most 100 megapixels"):
        check_photo(bytes(content), "a.webp")
