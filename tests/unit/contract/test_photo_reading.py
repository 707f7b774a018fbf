"""The one reading of photos: upright, in sRGB, on white, and refused by name when it can't be read."""

import contextlib
import struct
import zlib

import pytest
from PIL import Image, ImageChops, ImageCms, ImageDraw
from support import photos as made

from darkroom_contract.photo_containers import take_apart
from darkroom_contract.photo_reading import PhotoError, check_photo, read_photo

WITHIN = 3
"""Of 255: what is taken for the same colour."""


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


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

    picture, facts = read_photo(content, "a"), check_photo(content, "a")

    assert picture.size == facts.size_px == ((96, 128) if orientation > 4 else (128, 96))
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


# --- colours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("Display P3", made.rgb_profile("Display P3", made.P3)),
        ("Adobe RGB (1998)", made.rgb_profile("Adobe RGB (1998)", made.ADOBE, 563 / 256)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("kind", made.PICTURE_FORMATS)
def test_a_photo_s_colours_are_those_that_a_viewer_shows(kind: str, name: str, profile: bytes) -> None:
    content = made.encode(made.shot_in(profile), kind, icc_profile=profile)

    picture, shown = read_photo(content, "a"), made.viewed(content)
    difference = ImageChops.difference(picture, shown).getextrema()
    assert max(most for _, most in difference) <= WITHIN
    assert made.colour_error(picture) <= WITHIN + 1  # AVIF's encoder rounds as well.
    assert check_photo(content, "a").converted_from == name


@pytest.mark.parametrize("kind", made.PICTURE_FORMATS)
def test_srgb_by_its_profile_stays_as_it_is(kind: str) -> None:
    plain = made.encode(made.scene(), kind)
    content = made.encode(made.scene(), kind, icc_profile=srgb_profile())

    assert read_photo(content, "a").tobytes() == read_photo(plain, "a").tobytes()
    assert check_photo(content, "a").converted_from is None


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize(("transfer", "name"), [(13, "Display P3"), (16, "Display P3 PQ (its brightness")])
def test_colours_named_by_numbers_are_converted(kind: str, transfer: int, name: str) -> None:
    shot = made.shot_in(made.rgb_profile("P3", made.P3))
    content = made.with_nclx(made.encode(shot, kind), 12, transfer)

    assert made.colour_error(read_photo(content, "a")) <= WITHIN + 1  # The encoder rounds as well.
    assert (check_photo(content, "a").converted_from or "").startswith(name)


def test_a_png_s_numbers_come_before_its_profile() -> None:
    profile = made.rgb_profile("Display P3", made.P3)
    plain = made.encode(made.shot_in(profile), "PNG", icc_profile=made.grey_profile(1.0))

    assert made.colour_error(read_photo(made.with_chunk(plain, b"cICP", bytes((12, 13, 0, 1))), "a")) <= WITHIN


def test_adobe_rgb_that_a_camera_only_marks() -> None:
    """DCF 2.0: no profile, but the interoperability index R03."""
    interoperability = struct.pack("<H", 1) + made.entry(1, 2, 4, b"R03\0") + bytes(4)
    first_offset = 8 + 2 + 12 * 2 + 4
    second_offset = first_offset + 2 + 12 + 4
    body = made.exif(made.entry(0x8769, 4, 1, struct.pack("<L", first_offset)), orientation=1)
    body += struct.pack("<H", 1) + made.entry(0xA005, 4, 1, struct.pack("<L", second_offset)) + bytes(4)
    shot = made.shot_in(made.rgb_profile("Adobe RGB", made.ADOBE, 563 / 256))

    picture = read_photo(made.with_segment(made.encode(shot, "JPEG"), 0xE1, body + interoperability), "_DSC0001.JPG")

    assert made.colour_error(picture) <= WITHIN


def test_a_grey_photo_by_its_profile() -> None:
    content = made.encode(Image.new("L", (64, 64), 128), "PNG", icc_profile=made.grey_profile(1.0))

    # Half of the light, as sRGB: 188.
    assert read_photo(content, "a.png").getpixel((9, 9)) == pytest.approx((188, 188, 188), abs=1)


def test_a_grey_photo_with_transparent_parts_by_its_profile() -> None:
    half = Image.new("LA", (64, 64), (128, 255))
    half.paste((0, 0), (0, 0, 32, 64))
    content = made.encode(half, "PNG", icc_profile=made.grey_profile(1.0))

    picture = read_photo(content, "a.png")

    assert picture.getpixel((9, 9)) == (255, 255, 255)
    assert picture.getpixel((60, 9)) == pytest.approx((188, 188, 188), abs=1)


def test_a_cmyk_photo_by_its_profile() -> None:
    ink = Image.new("CMYK", (64, 64), (0, 0, 0, 255))
    plain, profiled = made.encode(ink, "JPEG"), made.encode(ink, "JPEG", icc_profile=made.cmyk_profile())

    assert check_photo(plain, "a.jpg").converted_from == "CMYK without a profile"
    assert check_photo(profiled, "a.jpg").converted_from == "A press"
    assert max(read_photo(profiled, "a.jpg").getpixel((9, 9))) <= WITHIN
    cyan = made.encode(Image.new("CMYK", (64, 64), (255, 0, 0, 0)), "JPEG", icc_profile=made.cmyk_profile())
    # Lab (76, -40, -40) by the profile; (0, 255, 255) without.
    red, green, blue = read_photo(cyan, "a.jpg").getpixel((9, 9))
    assert red < 40
    assert 190 < green < 230
    assert blue > 245


def test_transparent_parts_become_white_in_the_photo_s_own_colours() -> None:
    profile = made.rgb_profile("Display P3", made.P3)
    shot = made.shot_in(profile).convert("RGBA")
    shot.paste((0, 0, 0, 0), (0, 0, 20, 20))
    content = made.encode(shot, "PNG", icc_profile=profile)

    picture = read_photo(content, "a.png")

    assert picture.getpixel((5, 5)) == (255, 255, 255)
    assert made.colour_error(picture) <= WITHIN
    assert check_photo(content, "a.png").transparent


@pytest.mark.parametrize("kind", made.PICTURE_FORMATS)
@pytest.mark.parametrize("profile", [made.rgb_profile("P3", made.P3)[:200], b"x" * 300, made.cmyk_profile()])
def test_a_profile_that_can_t_be_used_costs_nothing_but_itself(kind: str, profile: bytes) -> None:
    content = made.encode(made.scene(), kind, icc_profile=profile)

    assert made.colour_error(read_photo(content, "a")) <= WITHIN
    assert check_photo(content, "a").profile_unreadable


def test_a_profile_in_parts_out_of_order() -> None:
    profile = made.rgb_profile("Display P3", made.P3)
    whole = made.encode(made.shot_in(profile), "JPEG")
    whole = made.with_segment(whole, 0xE2, b"ICC_PROFILE\0\1\2" + profile[:100])
    whole = made.with_segment(whole, 0xE2, b"ICC_PROFILE\0\2\2" + profile[100:])

    assert made.colour_error(read_photo(whole, "a.jpg")) <= WITHIN


# --- pixels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [name for name in made.good_photos() if "MPO" in name or ", " in name])
def test_what_shows_nothing_costs_nothing(what: str) -> None:
    picture = read_photo(made.good_photos()[what], what)

    if picture.size == (128, 96):
        assert made.colour_error(picture) <= WITHIN
    else:
        assert "EXIF" in what


@pytest.mark.parametrize("value", [0, 257, 20_000, 40_000, 65_535])
def test_16_bit_grey_is_scaled(value: int) -> None:
    content = made.encode(Image.new("I;16", (64, 64), value), "PNG")

    assert read_photo(content, "a.png").getpixel((9, 9)) == (round(value / 257),) * 3


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


@pytest.mark.parametrize("what", made.bad_photos())
def test_what_can_t_be_trained_on_is_refused_by_name(what: str) -> None:
    content, words = made.bad_photos()[what]

    for reading in (check_photo, read_photo):
        with pytest.raises(PhotoError, match=r"^holiday 1\.jpg (is|has) ") as refusal:
            reading(content, "holiday 1.jpg")
        assert words in str(refusal.value)
        assert any(advice in str(refusal.value) for advice in ("Replace it", "Scale it down", "Use a larger"))


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


def test_a_compressed_profile_without_end_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(64 * 1024**2))
    content = made.with_chunk(made.encode(made.scene(), "PNG"), b"iCCP", b"p\0\0" + bomb)

    assert check_photo(content, "a.png").profile_unreadable
